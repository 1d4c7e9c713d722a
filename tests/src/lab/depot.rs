//! A TCP service in the victim's namespace that takes and gives large files over one connection, and the client of it.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};

use super::{Family, Lab, process, wait_until};

/// Bytes in each direction.
pub const FILE_BYTES: usize = 24 << 20;
/// A connection that does not move for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// The running service, on port 80 of both families; ended on drop.
#[derive(Debug)]
pub struct Depot {
    stop: Arc<AtomicBool>,
    /// Whether it reads what has come.
    open: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

/// The victim's end of a connection, as `ss` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Bytes that nobody has read yet.
    pub unread: usize,
    /// The client's window scale and the server's.
    pub scales: Option<(u32, u32)>,
    /// Whether both sides use selective acknowledgements.
    pub sack: bool,
    /// Whether they use timestamps.
    pub timestamps: bool,
}

impl Depot {
    /// Starts it.
    pub fn start(lab: &Lab) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let open = Arc::new(AtomicBool::new(false));
        let listener = lab.victim.ns.enter(|| TcpListener::bind(("::", 80)))??;
        listener.set_nonblocking(true)?;
        let (stopped, opened) = (Arc::clone(&stop), Arc::clone(&open));
        let serve = move || {
            while !stopped.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    thread::park_timeout(Duration::from_millis(5));
                    continue;
                };
                while !opened.load(Ordering::Relaxed) && !stopped.load(Ordering::Relaxed) {
                    thread::park_timeout(Duration::from_millis(5));
                }
                // A client that goes away tells the test itself.
                drop(exchange(stream));
            }
        };
        let server = thread::Builder::new().name("depot".to_owned()).spawn(serve)?;
        Ok(Self {
            stop,
            open,
            server: Some(server),
        })
    }

    /// Sends a file from the client and gets it back. `meanwhile` sees the victim's end of the connection as long as it
    /// answers `None`, while nothing is read there.
    pub fn transfer<T>(
        &self,
        lab: &Lab,
        family: Family,
        meanwhile: impl FnMut(&Seen) -> Option<T>,
    ) -> Result<T> {
        self.open.store(false, Ordering::Relaxed);
        let server = SocketAddr::new(lab.victim.ip(family).parse()?, 80);
        let ns = lab.client.ns.open()?;
        let client =
            thread::Builder::new()
                .name("depot-client".to_owned())
                .spawn(move || -> Result<()> {
                    setns(ns, CloneFlags::CLONE_NEWNET)?;
                    there_and_back(TcpStream::connect_timeout(&server, PATIENCE)?)
                })?;
        let mut meanwhile = meanwhile;
        let mut last = None;
        let seen = wait_until("the window to be filled", PATIENCE, || {
            ensure!(!client.is_finished(), "the client gave up");
            last = seen(lab, family)?;
            Ok(last.as_ref().and_then(&mut meanwhile))
        });
        self.open.store(true, Ordering::Relaxed);
        let transferred = client.join();
        ensure!(transferred.is_ok(), "the thread of the client panicked");
        transferred
            .unwrap_or(Ok(()))
            .with_context(|| format!("{last:?}"))?;
        seen.with_context(|| format!("last seen: {last:?}"))
    }
}

impl Drop for Depot {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            drop(server.join());
        }
    }
}

/// Byte `index` of the file.
fn byte(index: usize) -> u8 {
    (index.wrapping_mul(2_654_435_761) >> 13) as u8
}

/// Reads a file and sends back what came.
fn exchange(mut stream: TcpStream) -> Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut file = Vec::with_capacity(FILE_BYTES);
    stream.read_to_end(&mut file)?;
    stream.write_all(&file)?;
    Ok(())
}

fn there_and_back(mut stream: TcpStream) -> Result<()> {
    let file: Vec<u8> = (0..FILE_BYTES).map(byte).collect();
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&file).context("sending the file")?;
    stream.shutdown(Shutdown::Write)?;
    let mut came = Vec::with_capacity(FILE_BYTES);
    stream.read_to_end(&mut came).context("getting the file back")?;
    ensure!(came == file, "{} of {} bytes came back", came.len(), file.len());
    Ok(())
}

/// The victim's end of the connection with the client, once it is established.
fn seen(lab: &Lab, family: Family) -> Result<Option<Seen>> {
    let client = family.of(lab.client.ip4.to_owned(), format!("[{}]", lab.client.ip6));
    let mapped = family.of(format!("[::ffff:{}]", lab.client.ip4), client);
    let mut command = lab.victim.ns.command("ss")?;
    let text = process::run(command.args(["-tinoOH", "state", "established", "dst", &mapped]))?;
    let Some(line) = text.lines().next() else {
        return Ok(None);
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    let scales = words.iter().find_map(|word| word.strip_prefix("wscale:"));
    let scales = scales
        .and_then(|scales| scales.split_once(','))
        .map(|(client, server)| anyhow::Ok((client.parse()?, server.parse()?)));
    Ok(Some(Seen {
        unread: words.first().context("ss tells what is unread")?.parse()?,
        scales: scales.transpose()?,
        sack: words.contains(&"sack"),
        timestamps: words.contains(&"ts"),
    }))
}
