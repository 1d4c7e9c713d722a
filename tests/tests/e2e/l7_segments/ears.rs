//! Who listens in the laboratory, and a service and its clients that say what they are told to.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use netguard::{
    bpf::{InstanceName, Listening, Loaded, Pins, SettingsMap, load},
    l7::{Ends, Side},
};
use netguard_common::{l7::HearingLimits, layout::Settings, shared::Field as _};
use netguard_tests::{
    lab::{Family, IFACE, Lab, wait_until},
    world::DEFAULT_SIZES,
};
use nix::net::if_::if_nametoindex;

/// The service that is listened to.
pub(super) const PORT: u16 = 8080;
const SOON: Duration = Duration::from_secs(5);

/// A segment that was handed on.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) ends: Ends,
    pub(super) from: Side,
    pub(super) sequence: u32,
    pub(super) turn_start: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) is_whole: bool,
    pub(super) is_last: bool,
    pub(super) weight: u32,
}

/// Listens at the victim's interface, with maps of its own; removed on drop.
pub(super) struct Ears {
    pub(super) listening: Listening,
    pins: Pins,
    _loaded: Loaded,
}

impl Ears {
    pub(super) fn open(lab: &Lab, limits: HearingLimits) -> Result<Self> {
        let name: InstanceName = format!("{}-l7", lab.name).parse()?;
        let pins = Pins::of(&name);
        let mut loaded = load(&pins, DEFAULT_SIZES)?;
        let settings = Settings {
            seed: 7,
            l7: limits,
            ..Settings::ZERO
        };
        SettingsMap::open(&pins)?.write(&settings)?;
        let mut listening = Listening::open(&mut loaded, &pins)?;
        listening.watch_ports(&[PORT])?;
        let mut ears = Self {
            listening,
            pins,
            _loaded: loaded,
        };
        // Once is enough.
        ears.listen(lab)?;
        ears.listen(lab)?;
        Ok(ears)
    }

    /// Listens to the victim's interface.
    pub(super) fn listen(&mut self, lab: &Lab) -> Result<()> {
        let listening = &mut self.listening;
        lab.victim
            .ns
            .enter(|| -> Result<()> { Ok(listening.listen(if_nametoindex(IFACE)?, IFACE)?) })?
    }

    /// What was handed on since the last look.
    pub(super) fn drain(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        self.listening.drain(usize::MAX, |segment| {
            heard.push(Heard {
                ends: segment.ends,
                from: segment.from,
                sequence: segment.sequence,
                turn_start: segment.turn_start,
                bytes: segment.bytes.to_vec(),
                is_whole: segment.is_whole,
                is_last: segment.is_last,
                weight: segment.weight,
            });
        });
        heard
    }

    /// The next so many segments, all that come with the last of them.
    pub(super) fn wait_for(&mut self, segments: usize) -> Result<Vec<Heard>> {
        let mut heard = Vec::new();
        wait_until("something to be handed on", SOON, || {
            heard.extend(self.drain());
            Ok((heard.len() >= segments).then_some(()))
        })?;
        Ok(heard)
    }

    /// All that is handed on of the conversation of `client` until both ends have said all.
    pub(super) fn until_end(&mut self, client: SocketAddr) -> Result<Vec<Heard>> {
        let mut heard = Vec::new();
        wait_until("both ends to have said all", SOON, || {
            heard.extend(
                self.drain()
                    .into_iter()
                    .filter(|segment| segment.ends.client == client),
            );
            let ended = |side| {
                heard
                    .iter()
                    .any(|segment: &Heard| segment.is_last && segment.from == side)
            };
            Ok((ended(Side::Client) && ended(Side::Server)).then_some(()))
        })
        .with_context(|| format!("{heard:?}"))?;
        Ok(heard)
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        if let Err(error) = self.pins.remove() {
            eprintln!("lab: {error}");
        }
    }
}

/// Where the service is.
pub(super) fn address(lab: &Lab, family: Family) -> Result<SocketAddr> {
    Ok(SocketAddr::new(lab.victim.ip(family).parse()?, PORT))
}

/// Has cards make segments and take them together, or not.
pub(super) fn offload(lab: &Lab, on: &str) -> Result<()> {
    for host in [&lab.victim, &lab.client] {
        let mut ethtool = host.ns.command("ethtool")?;
        ethtool.args(["-K", IFACE]);
        for feature in ["tx", "sg", "tso", "gso", "gro"] {
            ethtool.args([feature, on]);
        }
        ensure!(ethtool.output()?.status.success(), "ethtool");
    }
    Ok(())
}

/// What the service reads and answers in one connection: so many bytes, and these.
type Script = Vec<(usize, Vec<u8>)>;

/// A service in the victim's namespace, over both families. Each connection has a script, which is handed over before it is made.
pub(super) struct Service {
    scripts: mpsc::Sender<(Family, Script)>,
    done: mpsc::Receiver<Result<()>>,
}

impl Service {
    pub(super) fn start(lab: &Lab) -> Result<Self> {
        let bind = |family| -> Result<TcpListener> {
            let at = address(lab, family)?;
            Ok(lab.victim.ns.enter(|| TcpListener::bind(at))??)
        };
        let (v4, v6) = (bind(Family::V4)?, bind(Family::V6)?);
        let (scripts, wanted) = mpsc::channel::<(Family, Script)>();
        let (tell, done) = mpsc::channel();
        thread::spawn(move || {
            for (family, script) in wanted {
                let _ = tell.send(serve(family.of(&v4, &v6), &script));
            }
        });
        Ok(Self { scripts, done })
    }

    /// Has the client ask and the service answer, in turn; what the client says is cut into pieces of `cut` bytes. Tells where the client was.
    pub(super) fn converse(
        &self,
        lab: &Lab,
        family: Family,
        exchanges: &[(Vec<u8>, Vec<u8>)],
        cut: usize,
    ) -> Result<SocketAddr> {
        let script = exchanges.iter().map(|(ask, answer)| (ask.len(), answer.clone()));
        self.scripts.send((family, script.collect()))?;
        let mut stream = connect(lab, family)?;
        for (ask, answer) in exchanges {
            for piece in ask.chunks(cut) {
                stream.write_all(piece)?;
            }
            let mut got = vec![0; answer.len()];
            stream.read_exact(&mut got)?;
            ensure!(got == *answer, "another answer");
        }
        let client = stream.local_addr()?;
        drop(stream);
        self.done.recv_timeout(SOON)??;
        Ok(client)
    }
}

fn connect(lab: &Lab, family: Family) -> Result<TcpStream> {
    let server = address(lab, family)?;
    let stream = lab
        .client
        .ns
        .enter(|| TcpStream::connect_timeout(&server, SOON))??;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SOON))?;
    Ok(stream)
}

fn serve(listener: &TcpListener, script: &[(usize, Vec<u8>)]) -> Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SOON))?;
    for (asked, answer) in script {
        let mut ask = vec![0; *asked];
        stream.read_exact(&mut ask).context("what the client asks")?;
        stream.write_all(answer)?;
    }
    // Until the client ends.
    stream
        .read_exact(&mut [0])
        .err()
        .ok_or_else(|| anyhow!("more than was asked"))?;
    Ok(())
}

/// A conversation that goes on as it is told to.
pub(super) struct Talker<'a> {
    stream: TcpStream,
    service: &'a Service,
}

impl<'a> Talker<'a> {
    /// One of two exchanges: of 10 bytes each way, and of 20.
    pub(super) fn connect(lab: &Lab, service: &'a Service, family: Family) -> Result<Self> {
        let script = [10, 20].map(|len| (len, super::exchange(len, len).1));
        service.scripts.send((family, script.to_vec()))?;
        Ok(Self {
            stream: connect(lab, family)?,
            service,
        })
    }

    pub(super) fn exchange(&mut self, (ask, answer): &(Vec<u8>, Vec<u8>)) -> Result<()> {
        self.stream.write_all(ask)?;
        let mut got = vec![0; answer.len()];
        self.stream.read_exact(&mut got)?;
        ensure!(got == *answer, "another answer");
        Ok(())
    }

    /// Ends it; tells where the client was.
    pub(super) fn end(self) -> Result<SocketAddr> {
        let client = self.stream.local_addr()?;
        drop(self.stream);
        self.service.done.recv_timeout(SOON)??;
        Ok(client)
    }
}
