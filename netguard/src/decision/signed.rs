//! Requests that must be signed: a name, a time, a word that is used once, and an HMAC-SHA256 over them and what is asked. Each word is taken once
//! while its time lasts, and none from before this process, so a request that somebody overheard is worth nothing. It reads no files.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasher as _, RandomState},
};

use super::{
    Now,
    limits::Scope,
    request::Asked,
    secret::{Secret, unhex},
};

/// Words that are remembered; with more at a time the next ones have to wait, since none may be forgotten.
const REMEMBERED: usize = 100_000;
/// Length of such a word.
const NONCE: std::ops::RangeInclusive<usize> = 8..=64;
const SECOND_NS: u64 = 1_000_000_000;
/// Bytes of a signer's secret at the least.
const LEAST_BYTES: usize = 16;

/// What must be signed, and by whom.
pub(super) struct Signing {
    rules: Vec<Rule>,
    seen: HashSet<u64>,
    /// The same in the order in which they came, with the time until which each is remembered.
    order: VecDeque<(u64, u64)>,
    /// What holds longest is remembered longest: all words are remembered for so long.
    remember_ns: u64,
    /// When this process began, monotonic: what was used before it knows nobody.
    began_ns: u64,
}

/// What must be signed by whom.
pub struct Rule {
    pub scope: Scope,
    pub window_s: u64,
    pub signers: Vec<Signer>,
}

/// Who may sign.
pub struct Signer {
    pub name: String,
    pub secret: Secret,
}

/// Why a request is not taken as signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it must be signed, by the header Netguard-Signature")]
    Missing,
    #[error("its signature cannot be read: it is `k=NAME, t=SECONDS, n=NONCE, s=HEX`")]
    Malformed,
    #[error("its time is too far from this server's")]
    Late,
    #[error("it was signed before this server began: sign it anew")]
    Before,
    #[error("its signature is not that of a signer")]
    Wrong,
    #[error("it was used before")]
    Replayed,
    #[error("too many signed requests at a time")]
    Full,
}

/// The header, in its parts.
struct Signature<'a> {
    name: &'a str,
    at_s: u64,
    nonce: &'a str,
    tag: Vec<u8>,
}

impl Signing {
    /// `began_ns`: when this process began, monotonic.
    pub(super) fn new(rules: Vec<Rule>, began_ns: u64) -> Self {
        let longest_s = rules.iter().map(|rule| rule.window_s).max().unwrap_or(0);
        Self {
            rules,
            seen: HashSet::new(),
            order: VecDeque::new(),
            // A signer's clock may be ahead by a whole window.
            remember_ns: (2 * longest_s + 1) * SECOND_NS,
            began_ns,
        }
    }

    /// Whether `asked` must be signed, and if so whether it is.
    pub(super) fn check(
        &mut self,
        asked: &Asked<'_>,
        hash: &RandomState,
        now: Now,
    ) -> Option<Result<(), Fault>> {
        let rule = self.rules.iter().find(|rule| rule.scope.holds_for(asked))?;
        // By the clock as it is now: it may have been set since.
        let age_s = now.mono_ns.saturating_sub(self.began_ns) / SECOND_NS;
        let began_s = now.wall_s.saturating_sub(age_s);
        let word = rule.verify(asked, began_s, now).map(|word| hash.hash_one(word));
        Some(word.and_then(|word| self.take(word, now)))
    }

    /// Takes a word that is used for the first time.
    fn take(&mut self, nonce: u64, now: Now) -> Result<(), Fault> {
        while self
            .order
            .front()
            .is_some_and(|(until_ns, _)| *until_ns <= now.mono_ns)
        {
            if let Some((_, gone)) = self.order.pop_front() {
                self.seen.remove(&gone);
            }
        }
        if self.seen.contains(&nonce) {
            return Err(Fault::Replayed);
        }
        if self.seen.len() >= REMEMBERED {
            return Err(Fault::Full);
        }
        self.seen.insert(nonce);
        self.order
            .push_back((now.mono_ns.saturating_add(self.remember_ns), nonce));
        Ok(())
    }
}

impl Rule {
    /// The signer and the word of a request that is signed, later than in the second `began_s`.
    fn verify<'a>(
        &'a self,
        asked: &'a Asked<'_>,
        began_s: u64,
        now: Now,
    ) -> Result<(&'a str, &'a str), Fault> {
        let signature = Signature::read(asked.signature.ok_or(Fault::Missing)?).ok_or(Fault::Malformed)?;
        let signer = self.signers.iter().find(|signer| signer.name == signature.name);
        let message = message(asked, signature.at_s, signature.nonce);
        let signer = signer.filter(|signer| signer.secret.vouches(message.as_bytes(), &signature.tag));
        let signer = signer.ok_or(Fault::Wrong)?;
        if now.wall_s.abs_diff(signature.at_s) > self.window_s {
            return Err(Fault::Late);
        }
        if signature.at_s <= began_s {
            return Err(Fault::Before);
        }
        Ok((&signer.name, signature.nonce))
    }
}

/// What is signed.
pub(super) fn message(asked: &Asked<'_>, at_s: u64, nonce: &str) -> String {
    let digest = asked.body_digest.unwrap_or_default();
    format!(
        "netguard-1\n{}\n{}\n{at_s}\n{nonce}\n{digest}",
        asked.method, asked.target
    )
}

/// The header of a request that `name` signs with `secret`, for programs that send such.
pub fn signature(
    secret: &Secret,
    name: &str,
    (method, target): (&str, &str),
    at_s: u64,
    nonce: &str,
) -> String {
    let message = format!("netguard-1\n{method}\n{target}\n{at_s}\n{nonce}\n");
    format!("k={name}, t={at_s}, n={nonce}, s={}", secret.tag(&message))
}

impl<'a> Signature<'a> {
    /// `k=ops, t=1700000000, n=4f1c9a2b7d, s=...`
    fn read(text: &'a str) -> Option<Self> {
        let (mut name, mut at_s, mut nonce, mut tag) = (None, None, None, None);
        for part in text.split(',') {
            match part.trim().split_once('=')? {
                ("k", value) => name = Some(value),
                ("t", value) => at_s = Some(value.parse().ok()?),
                ("n", value) => nonce = Some(value),
                ("s", value) => tag = Some(unhex(value)?),
                _ => return None,
            }
        }
        let nonce: &str = nonce?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_word = NONCE.contains(&nonce.len()) && nonce.bytes().all(fits);
        Some(Self {
            name: name?,
            at_s: at_s?,
            nonce: is_word.then_some(nonce)?,
            tag: tag?,
        })
    }
}

/// The signers in a file of lines `NAME SECRET`.
///
/// # Errors
/// The number of the first line, from 1, that is none, and why; no secret is in it.
pub fn signers(text: &str) -> Result<Vec<Signer>, String> {
    let mut signers = Vec::<Signer>::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |why: &str| format!("line {}: {why}", index + 1);
        let (name, secret) = line
            .split_once(char::is_whitespace)
            .ok_or_else(|| at("write a name and a secret"))?;
        let secret = secret.trim();
        if secret.len() < LEAST_BYTES {
            return Err(at("the secret has less than 16 characters"));
        }
        if name.contains([',', '=']) {
            return Err(at("a name has neither `,` nor `=`"));
        }
        if signers.iter().any(|signer| signer.name == name) {
            return Err(at("the name was there before"));
        }
        signers.push(Signer {
            name: name.to_owned(),
            secret: Secret::new(secret.as_bytes()),
        });
    }
    if signers.is_empty() {
        return Err("it names nobody".to_owned());
    }
    Ok(signers)
}

#[cfg(test)]
mod tests {
    use ring::hmac;

    use super::*;
    use crate::decision::{request::tests::asked, secret::hex};

    const NOW: Now = Now {
        mono_ns: 50 * SECOND_NS,
        wall_s: 1_700_000_000,
    };

    fn signing() -> Signing {
        begun_at(0)
    }

    fn begun_at(began_ns: u64) -> Signing {
        let rule = Rule {
            scope: Scope::new(&["/admin/*".parse().unwrap()], &[]),
            window_s: 60,
            signers: signers("# who\nops 0123456789abcdef\ndev fedcba9876543210\n").unwrap(),
        };
        Signing::new(vec![rule], began_ns)
    }

    fn header(asked: &Asked<'_>, at_s: u64, nonce: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef");
        let tag = hmac::sign(&key, message(asked, at_s, nonce).as_bytes());
        format!("k=ops, t={at_s}, n={nonce}, s={}", hex(tag.as_ref()))
    }

    #[test]
    fn a_signed_request_is_taken_once() {
        let (mut signing, hash) = (signing(), RandomState::new());
        let plain = asked("POST", "/admin/x?y=1");
        let mut check = |header: Option<&str>, target: &'static str, now: Now| {
            let mut asked = asked("POST", target);
            asked.signature = header;
            signing.check(&asked, &hash, now)
        };
        assert_eq!(check(None, "/open", NOW), None);
        assert_eq!(check(None, "/admin/x?y=1", NOW), Some(Err(Fault::Missing)));
        let good = header(&plain, NOW.wall_s, "nonce-one");
        assert_eq!(check(Some(&good), "/admin/x?y=1", NOW), Some(Ok(())));
        assert_eq!(
            check(Some(&good), "/admin/x?y=1", NOW),
            Some(Err(Fault::Replayed))
        );
        assert_eq!(check(Some(&good), "/admin/x?y=2", NOW), Some(Err(Fault::Wrong)));
        // As long as its time is good it is remembered, and not longer.
        let ahead = header(&plain, NOW.wall_s + 60, "nonce-two");
        assert_eq!(check(Some(&ahead), "/admin/x?y=1", NOW), Some(Ok(())));
        let later = Now {
            mono_ns: NOW.mono_ns + 120 * SECOND_NS,
            wall_s: NOW.wall_s + 120,
        };
        assert_eq!(
            check(Some(&ahead), "/admin/x?y=1", later),
            Some(Err(Fault::Replayed))
        );
        assert_eq!(check(Some(&good), "/admin/x?y=1", later), Some(Err(Fault::Late)));
        for bad in [
            "",
            "k=ops",
            "k=ops, t=x, n=12345678, s=00",
            "k=ops, t=1, n=short, s=00",
            "k=ops, t=1, n=12345678, s=0",
            "k=ops, t=1, n=1234 678, s=00",
        ] {
            assert_eq!(
                check(Some(bad), "/admin/x", NOW),
                Some(Err(Fault::Malformed)),
                "{bad}"
            );
        }
        let stranger = good.replace("k=ops", "k=dev");
        assert_eq!(
            check(Some(&stranger), "/admin/x?y=1", NOW),
            Some(Err(Fault::Wrong))
        );
    }

    #[test]
    fn what_was_overheard_before_a_restart_is_not_taken_again() {
        let (mut before, mut after) = (signing(), begun_at(NOW.mono_ns));
        let hash = RandomState::new();
        let plain = asked("POST", "/admin/x");
        let check = |signing: &mut Signing, at_s, now| {
            let header = header(&plain, at_s, "nonce-one");
            let mut asked = asked("POST", "/admin/x");
            asked.signature = Some(&header);
            signing.check(&asked, &hash, now)
        };
        let later = Now {
            mono_ns: NOW.mono_ns + 5 * SECOND_NS,
            wall_s: NOW.wall_s + 5,
        };
        for (at_s, said) in [
            (NOW.wall_s - 7, Err(Fault::Before)),
            (NOW.wall_s, Err(Fault::Before)),
            (NOW.wall_s + 1, Ok(())),
        ] {
            assert_eq!(check(&mut after, at_s, later), Some(said), "{at_s}");
        }
        assert_eq!(check(&mut before, NOW.wall_s, NOW), Some(Ok(())));
        // The clock was wrong when it began, and is right now.
        let set = Now {
            wall_s: later.wall_s + 1_000_000,
            ..later
        };
        assert_eq!(check(&mut after, set.wall_s - 6, set), Some(Err(Fault::Before)));
        assert_eq!(check(&mut after, NOW.wall_s, set), Some(Err(Fault::Late)));
    }

    #[test]
    fn the_body_counts_where_the_proxy_passes_its_digest() {
        let (mut signing, hash) = (signing(), RandomState::new());
        let mut asked = asked("POST", "/admin");
        asked.body_digest = Some("ab");
        let good = header(&asked, NOW.wall_s, "nonce-one");
        asked.signature = Some(&good);
        asked.body_digest = Some("cd");
        assert_eq!(signing.check(&asked, &hash, NOW), Some(Err(Fault::Wrong)));
        asked.body_digest = None;
        assert_eq!(signing.check(&asked, &hash, NOW), Some(Err(Fault::Wrong)));
        asked.body_digest = Some("ab");
        assert_eq!(signing.check(&asked, &hash, NOW), Some(Ok(())));
    }

    #[test]
    fn words_are_bounded_and_none_is_forgotten_early() {
        let mut signing = signing();
        for nonce in 0..REMEMBERED as u64 {
            assert_eq!(signing.take(nonce, NOW), Ok(()));
        }
        assert_eq!(signing.take(u64::MAX, NOW), Err(Fault::Full));
        assert_eq!(signing.take(0, NOW), Err(Fault::Replayed));
        let later = Now {
            mono_ns: NOW.mono_ns + 121 * SECOND_NS,
            ..NOW
        };
        assert_eq!(signing.take(u64::MAX, later), Ok(()));
        assert_eq!((signing.seen.len(), signing.order.len()), (1, 1));
    }

    #[test]
    fn a_file_of_signers_is_told_apart_from_others() {
        for (text, told) in [
            ("", "names nobody"),
            ("ops short", "line 1: the secret has less"),
            ("# x\nops", "line 2: write a name"),
            ("a 0123456789abcdef\na 0123456789abcdef", "line 2: the name was"),
            ("a=b 0123456789abcdef", "neither"),
        ] {
            let error = signers(text).map(|signers| signers.len()).unwrap_err();
            assert!(error.contains(told) && !error.contains("0123"), "{text}: {error}");
        }
    }
}
