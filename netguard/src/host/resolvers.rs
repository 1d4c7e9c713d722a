//! The name servers this machine asks, from files in the form of resolv.conf(5).

use std::net::IpAddr;
use std::path::Path;
use std::{fs, io};

use resolv_conf::{Config, ParseError};

use super::HostError;

/// The name servers in the file at `path`, in its order, and what of it could not be read: such lines are passed over, as the C
/// library does. None if there is no such file.
pub(super) fn resolvers(path: &Path) -> (Vec<IpAddr>, Option<HostError>) {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (Vec::new(), None),
        Err(source) => {
            let path = path.to_owned();
            return (Vec::new(), Some(HostError::Unreadable { path, source }));
        }
    };
    let (config, errors) = Config::parse_with_errors(&bytes);
    let broken = errors.iter().find_map(|error| match error {
        // The parser counts lines from 0.
        ParseError::InvalidUtf8(line, _)
        | ParseError::InvalidValue(line)
        | ParseError::InvalidIp(line, _) => Some(line + 1),
        // Options of later versions.
        _ => None,
    });
    let fault = broken.map(|line| HostError::Resolver {
        path: path.to_owned(),
        line,
    });
    (config.nameservers.into_iter().map(IpAddr::from).collect(), fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name servers in a file with `text`, and its fault.
    fn read(text: &[u8]) -> (Vec<String>, Option<String>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        fs::write(&path, text).unwrap();
        let (servers, fault) = resolvers(&path);
        let servers = servers.iter().map(ToString::to_string).collect();
        (servers, fault.map(|fault| fault.to_string()))
    }

    #[test]
    fn name_servers_in_order() {
        let text = b"# local\nsearch example.net\nnameserver 192.0.2.53\nnameserver fe80::1%eth0 ; router\noptions edns0 new-option\n";
        let found = ["192.0.2.53", "fe80::1"].map(str::to_owned).to_vec();
        assert_eq!(read(text), (found, None));
        assert_eq!(read(b""), (Vec::new(), None));
    }

    #[test]
    fn a_missing_file_has_none() {
        let (servers, fault) = resolvers(Path::new("/nonexistent/resolv.conf"));
        assert!(servers.is_empty() && fault.is_none());
    }

    /// Found in review: one such line, and nothing was protected.
    #[test]
    fn a_broken_line_is_named_and_passed_over() {
        for broken in [&b"nameserver 192.0.2.300"[..], b"nameserver", b"nameserver \xff"] {
            let text = [b"nameserver 192.0.2.53\n", broken, b"\nnameserver 192.0.2.54\n"].concat();
            let (servers, fault) = read(&text);
            assert_eq!(servers, ["192.0.2.53", "192.0.2.54"]);
            let fault = fault.unwrap();
            assert!(
                fault.contains("resolv.conf:2: this line is passed over"),
                "{fault}"
            );
        }
        let (_, fault) = resolvers(&std::env::temp_dir());
        assert!(fault.unwrap().to_string().contains("cannot be read"));
    }
}
