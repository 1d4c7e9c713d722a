//! The forms in which feeds come: packed, as a directory of MISP, at a server; what is no feed in spite of its name; and what is checked
//! or refused before anything is in force.

use std::{fs, io::Write as _, path::Path, process::Command, time::Duration};

use anyhow::{Result, ensure};
use flate2::{Compression, write::GzEncoder};
use netguard_tests::lab::{Family, Lab, Manner, Netguard, Publisher, binary, output, wait_until};

use super::feeds::{published, stands};
use crate::{calm::lab, protect, verdicts::judged};

const ONE: &str = "54f5e5bc-8a20-4bcb-8f61-2f3f950d210f";
const TWO: &str = "5d8e0d7c-0b2c-4a6f-9d2c-06d2950d210f";

fn packed(text: &str) -> Result<Vec<u8>> {
    let mut packing = GzEncoder::new(Vec::new(), Compression::default());
    packing.write_all(text.as_bytes())?;
    Ok(packing.finish()?)
}

fn manifest(events: &[&str]) -> String {
    let event = |uuid: &&str| format!("\"{uuid}\":{{\"info\":\"OSINT\",\"timestamp\":\"1767225600\"}}");
    format!("{{{}}}", events.iter().map(event).collect::<Vec<_>>().join(","))
}

fn event(address: &str) -> String {
    format!(
        "{{\"Event\":{{\"info\":\"x\",\"Attribute\":[{{\"type\":\"ip-dst\",\"value\":\"{address}\",\"to_ids\":true}},\
         {{\"type\":\"domain\",\"value\":\"a.example\",\"to_ids\":true}}]}}}}"
    )
}

fn file(name: &str, file: &Path) -> String {
    format!("[[feed]]\nname = \"{name}\"\nfile = {file:?}\nmax_mib = 1\n")
}

/// The feed is refused for a reason with `told` in it, and both of what it said before stay.
fn refused(lab: &Lab, netguard: &Netguard<'_>, name: &str, told: &str) -> Result<()> {
    let synced = netguard.cli(&["feed", "sync", name])?;
    let fault = netguard.list(name)?["fault"].to_string();
    ensure!(
        synced.status == 1 && fault.contains(told),
        "{told}: {synced:?} {fault}"
    );
    stands(lab, netguard)
}

#[test]
fn a_packed_file_is_read_and_a_damaged_one_refused() -> Result<()> {
    let (lab, _server) = lab()?;
    let path = lab.dir.path().join("list.gz");
    let whole = packed("198.18.0.1\n2001:db8:77::/48\n")?;
    fs::write(&path, &whole)?;
    let netguard = protect(&lab, &file("packed", &path))?;
    stands(&lab, &netguard)?;
    for (content, told) in [
        (whole[..whole.len() - 5].to_vec(), "ends in the midst"),
        (
            [&whole, b"<html>not found</html>".as_slice()].concat(),
            "followed by something else",
        ),
        (
            packed(&"1".repeat(3 << 20))?,
            "more than 1 MiB when it is unpacked",
        ),
        (packed("<html>no</html>")?, "page of the web"),
        (b"\x1f\x8b\x08 no gzip".to_vec(), "packed with gzip"),
    ] {
        fs::write(&path, content)?;
        refused(&lab, &netguard, "packed", told)?;
    }
    // A name is no proof.
    fs::write(&path, "198.18.0.2\n")?;
    netguard.must(&["feed", "sync", "packed"])?;
    judged(&lab, &netguard, "198.18.0.2", "block-feed")?;
    judged(&lab, &netguard, "198.18.0.1", "pass")
}

/// Nobody waits for a file that never ends.
#[test]
fn what_is_no_file_is_refused_and_holds_nobody_up() -> Result<()> {
    let (lab, _server) = lab()?;
    let path = lab.dir.path().join("list");
    fs::write(&path, "198.18.0.1\n2001:db8:77::/48\n")?;
    let mut netguard = protect(&lab, &file("a", &path))?;
    fs::remove_file(&path)?;
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU)?;
    refused(&lab, &netguard, "a", "is no regular file")?;
    netguard.stop()?;
    netguard.restart()?;
    stands(&lab, &netguard)
}

#[test]
fn a_misp_feed_is_read_from_its_directory_and_followed() -> Result<()> {
    let (lab, _server) = lab()?;
    let directory = lab.dir.path().join("misp");
    fs::create_dir(&directory)?;
    let write = |name: &str, text: &str| fs::write(directory.join(name), text);
    write("manifest.json", &manifest(&[ONE, TWO]))?;
    write(&format!("{ONE}.json"), &event("198.18.0.1"))?;
    write(&format!("{TWO}.json"), &event("2001:db8:77::1"))?;
    let netguard = protect(&lab, &file("misp", &directory))?;
    stands(&lab, &netguard)?;
    let listed = netguard.list("misp")?;
    ensure!(
        listed["format"] == "misp" && listed["passed_over"] == 2,
        "{listed}"
    );

    // An event is changed, and the daemon not asked.
    write(&format!("{TWO}.json"), &event("2001:db8:77:1::1"))?;
    wait_until("the other event", Duration::from_secs(30), || {
        let explained = netguard.json(&["explain", "2001:db8:77:1::1", "--json"])?;
        Ok((explained["verdict"] == "block-feed").then_some(()))
    })?;
    write(&format!("{TWO}.json"), &event("2001:db8:77::1"))?;
    netguard.must(&["feed", "sync", "misp"])?;
    fs::remove_file(directory.join(format!("{TWO}.json")))?;
    refused(&lab, &netguard, "misp", "copy the whole feed")?;
    let alone = directory.join("manifest.json").display().to_string();
    let checked = netguard.cli(&["feed", "check", &alone])?;
    ensure!(
        checked.status == 1 && checked.stderr.contains("write the directory"),
        "{checked:?}"
    );
    Ok(())
}

#[test]
fn packed_lists_and_misp_feeds_come_from_a_server() -> Result<()> {
    let (lab, _server) = lab()?;
    Publisher::publish(&lab, "list.gz", packed("198.18.0.1\n")?)?;
    Publisher::publish(&lab, "manifest.json", manifest(&[ONE, TWO]))?;
    Publisher::publish(&lab, &format!("{ONE}.json"), event("2001:db8:77::1"))?;
    Publisher::publish(&lab, &format!("{TWO}.json"), event("198.18.0.3"))?;
    let publisher = Publisher::start(&lab, Manner::Good)?;
    let config = published(&lab, "packed", Family::V4, "list.gz")?
        + &published(&lab, "misp", Family::V4, "manifest.json?key=s3cret")?;
    let mut netguard = protect(&lab, &config)?;
    wait_until("both fetches", Duration::from_secs(15), || {
        let prefixes = |name: &str| Ok::<_, anyhow::Error>(netguard.list(name)?["prefixes"].clone());
        Ok((prefixes("packed")? == 1 && prefixes("misp")? == 2).then_some(()))
    })?;
    stands(&lab, &netguard)?;
    judged(&lab, &netguard, "198.18.0.3", "block-feed")?;
    let asked = publisher.answers()?.len();
    netguard.must(&["feed", "sync", "misp"])?;
    let answers = publisher.answers()?;
    ensure!(
        answers[asked..] == ["304"],
        "what has not changed is not sent again: {answers:?}"
    );

    // What names an event that is not there is no feed.
    Publisher::publish(&lab, "manifest.json", manifest(&[ONE, &TWO.replace('5', "6")]))?;
    refused(&lab, &netguard, "misp", "answers 404")?;
    drop(publisher);
    // The copies are whole.
    netguard.kill9();
    netguard.must(&["detach"])?;
    netguard.restart()?;
    stands(&lab, &netguard)?;
    judged(&lab, &netguard, "198.18.0.3", "block-feed")
}

#[test]
fn a_check_tells_sudden_growth_beforehand() -> Result<()> {
    let (lab, _server) = lab()?;
    let list = |entries: u32| -> String {
        (0..entries)
            .map(|number| format!("198.18.{}.{}\n", number / 256, number % 256))
            .collect()
    };
    let (now, next) = (lab.dir.path().join("now"), lab.dir.path().join("next"));
    fs::write(&now, list(2_000))?;
    fs::write(&next, list(900))?;
    let names = [&now, &next].map(|path| path.display().to_string());
    let [now, next] = &names;
    let own = file("own", Path::new(now)) + "max_shrink = 3\n";
    let netguard = protect(&lab, &(file("a", Path::new(now)) + &own))?;
    let told = "shrunk from 2000 entries to 900";
    for against in [
        &["--against", now][..],
        &["--against-feed", "a"],
        &["--against-entries", "2000"],
    ] {
        let check = [&["feed", "check", next][..], against].concat();
        let refused = netguard.cli(&check)?;
        ensure!(
            refused.status == 1 && refused.stderr.contains(told),
            "{refused:?}"
        );
        let lenient = netguard.json(&[&check[..], &["--max-shrink", "3", "--json"]].concat())?;
        ensure!(
            lenient["before"] == 2_000 && lenient["entries"] == 900,
            "{lenient}"
        );
    }
    // Found in review: what the feed itself may was not asked for.
    let own = netguard.json(&["feed", "check", next, "--against-feed", "own", "--json"])?;
    ensure!(own["before"] == 2_000, "{own}");
    let twice = netguard.cli(&["feed", "check", "-", "--against", "-"])?;
    ensure!(
        twice.status == 2 && twice.stderr.contains("read once only"),
        "{twice:?}"
    );
    // And so does the daemon.
    fs::copy(next, now)?;
    let synced = netguard.cli(&["feed", "sync", "a"])?;
    ensure!(
        synced.status == 1 && netguard.list("a")?["fault"].to_string().contains(told),
        "{synced:?}"
    );
    ensure!(
        netguard
            .cli(&["feed", "check", next, "--against-feed", "b"])?
            .status
            == 2
    );
    let both = ["feed", "check", next, "--against", now, "--against-entries", "7"];
    ensure!(netguard.cli(&both)?.status == 2);
    let text = netguard.must(&["feed", "check", next, "--against-entries", "1000"])?;
    ensure!(
        text.contains("900 entries after 1000, which is no sudden change"),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_check_names_every_line_that_is_left_out() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("list").display().to_string();
    let good = (0..2_000_u32).map(|number| format!("198.18.{}.{}\n", number / 256, number % 256));
    let bad = (1..=12).map(|number| format!("10.0.0.{number}\nno-address-{number}\n"));
    fs::write(&path, good.chain(bad).collect::<String>())?;
    let check = |args: &[&str]| {
        let mut command = Command::new(binary()?);
        command.args(["feed", "check", &path]).args(args);
        let told = output(&mut command, Duration::from_secs(30))?;
        ensure!(told.status == 0, "{told:?}");
        Ok(told.stdout)
    };
    let few = check(&[])?;
    ensure!(few.contains("refused: and 7 more (--all names them)"), "{few}");
    ensure!(!few.contains("no-address-6"), "{few}");
    let all = check(&["--all"])?;
    for number in 1..=12 {
        let (private, none) = (1_999 + 2 * number, 2_000 + 2 * number);
        ensure!(all.contains(&format!("{path}:{none}: ")), "{none}: {all}");
        ensure!(
            all.contains(&format!("line {private}: 10.0.0.{number}")),
            "{private}: {all}"
        );
    }
    ensure!(!all.contains(" more (--all"), "{all}");
    let json: serde_json::Value = serde_json::from_str(&check(&["--json"])?)?;
    for key in ["refused", "trimmed_first"] {
        ensure!(json[key].as_array().map(Vec::len) == Some(12), "{key}: {json}");
    }
    Ok(())
}

/// Whom a feed says never to block an operator does not block without insisting.
#[test]
fn an_operator_is_told_whom_never_to_block() -> Result<()> {
    let (lab, _server) = lab()?;
    let path = lab.dir.path().join("good");
    fs::write(&path, "198.18.0.0/24\n2001:db8:77:1::/64\n")?;
    let config = file("resolvers", &path) + "action = \"never-block\"\n";
    let mut netguard = protect(&lab, &config)?;
    for (prefix, listed) in [
        ("198.18.0.9", "198.18.0.0/24"),
        ("198.18.0.0/16", "198.18.0.0/24"),
        ("2001:db8:77::/48", "2001:db8:77:1::/64"),
    ] {
        let refused = netguard.cli(&["block", "add", prefix])?;
        let told = format!("would touch {listed}, which resolvers says never to block");
        ensure!(
            refused.status == 2 && refused.stderr.contains(&told) && refused.stderr.contains("--force"),
            "{refused:?}"
        );
    }
    let import = lab.dir.path().join("import");
    fs::write(&import, "198.18.1.1\n2001:db8:77:1::5\n")?;
    let import = import.display().to_string();
    let refused = netguard.cli(&["block", "import", &import])?;
    ensure!(
        refused.status == 2
            && refused.stderr.contains("import:2: ")
            && refused.stderr.contains("nothing was added"),
        "{refused:?}"
    );
    // Of two guards each speaks for itself.
    let own = lab.victim.ip4;
    fs::write(&import, format!("198.18.1.1\n198.18.0.9\n{own}\n198.18.0.8\n"))?;
    for (force, told, not_told) in [
        (
            "--ttl=1h",
            &["import:2: ", "import:3: ", "import:4: "][..],
            "more",
        ),
        ("--force=lock-out", &["import:2: ", "import:4: "], "import:3: "),
        ("--force=never-block", &["import:3: "], "import:2: "),
    ] {
        let refused = netguard.cli(&["block", "import", &import, force])?;
        ensure!(
            refused.status == 2
                && told.iter().all(|told| refused.stderr.contains(told))
                && !refused.stderr.contains(not_told),
            "{force}: {refused:?}"
        );
    }
    ensure!(netguard.blocked()?.is_empty());
    netguard.must(&["block", "add", "198.18.1.1"])?;
    netguard.must(&["block", "add", "198.18.0.9", "--force=never-block"])?;
    judged(&lab, &netguard, "198.18.0.9", "block-address")?;
    netguard.must(&["allow", "add", "198.18.0.7"])?;

    // Without a daemon nobody knows, and that is told.
    netguard.kill9();
    let added = netguard.cli(&["block", "add", "198.18.0.8"])?;
    ensure!(
        added.status == 0 && added.stderr.contains("they were not asked"),
        "{added:?}"
    );
    let forced = netguard.cli(&["block", "add", "198.18.0.10", "--force"])?;
    ensure!(forced.status == 0 && forced.stderr.is_empty(), "{forced:?}");
    Ok(())
}
