//! Who did what a line tells.

use std::{fmt, fs};

use nix::unistd::{Uid, User};
use serde::{Deserialize, Serialize};

/// No login: started by the system, not by a person (`loginuid` of a process, -1).
const NOBODY: u32 = u32::MAX;

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Author {
    /// A person, or a program in a person's name.
    Operator {
        /// The user that the process runs as, by the kernel's word (`SO_PEERCRED`); `None` where it gave none.
        uid: Option<u32>,
        user: Option<String>,
        /// The user who logged in, whatever they became since (sudo, su): the kernel's `loginuid`. `None` for what the system
        /// started, as cron and service managers.
        #[serde(default)]
        login_uid: Option<u32>,
        #[serde(default)]
        login: Option<String>,
        #[serde(default)]
        pid: Option<u32>,
    },
    /// A detector, by its name.
    Detector { name: String },
    /// The configuration file.
    Configuration,
    /// A list that somebody else wrote.
    Feed,
    /// A rule's own end.
    Time,
    /// A signal to the daemon, whose sender is not known.
    Signal,
    /// The daemon itself.
    Daemon,
}

/// The operator behind process `pid` of user `uid`. Names may be asked of a server: not for a thread that others wait for.
pub fn operator(uid: Option<u32>, pid: Option<u32>) -> Author {
    let login_uid = pid.and_then(login_uid);
    Author::Operator {
        uid,
        user: uid.and_then(user_name),
        login_uid,
        login: login_uid.and_then(user_name),
        pid,
    }
}

/// The name of a user, if it has one.
pub fn user_name(uid: u32) -> Option<String> {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map(|user| user.name)
}

fn login_uid(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/loginuid")).ok()?;
    text.trim().parse().ok().filter(|uid| *uid != NOBODY)
}

/// As tables show it: `root (login alice)`.
impl fmt::Display for Author {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name: &Option<String>, uid: &Option<u32>| match (name, uid) {
            (Some(name), _) => name.clone(),
            (None, Some(uid)) => format!("uid {uid}"),
            (None, None) => "unknown".to_owned(),
        };
        match self {
            Self::Operator {
                uid,
                user,
                login_uid,
                login,
                ..
            } => {
                out.write_str(&named(user, uid))?;
                match login_uid {
                    Some(_) if login_uid != uid => write!(out, " (login {})", named(login, login_uid)),
                    _ => Ok(()),
                }
            }
            Self::Detector { name } => write!(out, "detector {name}"),
            Self::Configuration => out.write_str("configuration"),
            Self::Feed => out.write_str("feed"),
            Self::Time => out.write_str("time"),
            Self::Signal => out.write_str("signal"),
            Self::Daemon => out.write_str("daemon"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_acts_here_has_a_name() {
        let own = nix::unistd::geteuid().as_raw();
        let Author::Operator { uid, user, pid, .. } = operator(Some(own), Some(std::process::id())) else {
            panic!("a person");
        };
        assert_eq!((uid, pid), (Some(own), Some(std::process::id())));
        assert_eq!(user, user_name(own));
        assert_eq!(user_name(0).as_deref(), Some("root"));
        assert_eq!(user_name(4_000_000_123), None);
    }

    #[test]
    fn a_login_is_told_where_it_is_another() {
        let author = |uid, login_uid, login: Option<&str>| Author::Operator {
            uid: Some(uid),
            user: Some("root".to_owned()).filter(|_| uid == 0),
            login_uid,
            login: login.map(str::to_owned),
            pid: None,
        };
        assert_eq!(
            author(0, Some(1000), Some("alice")).to_string(),
            "root (login alice)"
        );
        assert_eq!(author(0, Some(0), Some("root")).to_string(), "root");
        assert_eq!(author(7, Some(8), None).to_string(), "uid 7 (login uid 8)");
        assert_eq!(author(7, None, None).to_string(), "uid 7");
    }
}
