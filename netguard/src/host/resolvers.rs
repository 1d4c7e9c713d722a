//! The name servers this machine asks, from files in the form of resolv.conf(5).

use std::net::IpAddr;
use std::path::Path;
use std::{fs, io};

use resolv_conf::{Config, ParseError};

use super::HostError;

/// The name servers in the file at `path`, in its order; none if there is no such file.
///
/// # Errors
/// When the file cannot be read, or a `nameserver` line has no address. Options that are not known are passed over, as
/// the C library does.
pub fn resolvers(path: &Path) -> Result<Vec<IpAddr>, HostError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(HostError::Unreadable {
                path: path.to_owned(),
                source,
            });
        }
    };
    let (config, errors) = Config::parse_with_errors(&bytes);
    let broken = errors.iter().find_map(|error| match error {
        // The parser counts lines from 0.
        ParseError::InvalidUtf8(line, _)
        | ParseError::InvalidValue(line)
        | ParseError::InvalidIp(line, _) => Some(line + 1),
        _ => None,
    });
    match broken {
        Some(line) => Err(HostError::Resolver {
            path: path.to_owned(),
            line,
        }),
        None => Ok(config.nameservers.into_iter().map(IpAddr::from).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Vec<IpAddr>, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        fs::write(&path, text).unwrap();
        resolvers(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn name_servers_in_order() {
        let text = b"# local\nsearch example.net\nnameserver 192.0.2.53\nnameserver fe80::1%eth0 ; router\noptions edns0 new-option\n";
        assert_eq!(
            read(text).unwrap(),
            ["192.0.2.53", "fe80::1"].map(|text| text.parse::<IpAddr>().unwrap())
        );
        assert_eq!(read(b"").unwrap(), Vec::<IpAddr>::new());
    }

    #[test]
    fn a_missing_file_has_none() {
        assert_eq!(
            resolvers(Path::new("/nonexistent/resolv.conf")).unwrap(),
            Vec::<IpAddr>::new()
        );
    }

    #[test]
    fn a_broken_line_is_named() {
        for text in [
            &b"options rotate\nnameserver 192.0.2.300\n"[..],
            b"\nnameserver\n",
            b"\nnameserver \xff\n",
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.contains("resolv.conf:2: this is not a name server"),
                "{error}"
            );
        }
        let error = resolvers(&std::env::temp_dir()).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
