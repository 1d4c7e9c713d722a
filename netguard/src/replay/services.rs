//! Services that the kernel counts by themselves in a replay: those of the configuration, those of which something is known to be normal, and those
//! at which the server of the capture answers. A daemon asks which ports are listened on; a capture has no sockets.

use super::answers::Answers;
use crate::{
    bpf::{BpfError, Telemetry},
    config::{Config, ServicePort},
    daemon::Numbers,
    engine::Baselines,
};

/// What is counted.
pub(super) struct Services {
    numbers: Numbers,
    /// How many ports were known to be served when it was looked last; `None`: never.
    looked: Option<usize>,
    /// With the numbers that telemetry has for them.
    named: Vec<(String, usize)>,
}

impl Services {
    /// Those of `config`, and as many of `baselines` as there are numbers for.
    pub(super) fn new(config: &Config, baselines: &Baselines) -> Self {
        let mut first: Vec<ServicePort> = config.service.iter().map(|service| service.port).collect();
        let known = baselines.service_names();
        for service in known.into_iter().filter_map(|name| name.parse().ok()) {
            if !first.contains(&service) {
                first.push(service);
            }
        }
        Self {
            numbers: Numbers::new(first),
            looked: None,
            named: Vec::new(),
        }
    }

    /// Has what is served by now counted, too.
    pub(super) fn follow(&mut self, answers: &Answers, telemetry: &mut Telemetry) -> Result<(), BpfError> {
        let count = answers.count();
        if self.looked.replace(count) == Some(count) {
            return Ok(());
        }
        let counted = telemetry.read()?;
        self.numbers.assign(Some(answers.services()), &counted.services);
        telemetry.watch(&self.numbers.slots())?;
        let watched = self.numbers.watched().iter();
        self.named = watched
            .map(|watched| (watched.service.to_string(), usize::from(watched.number)))
            .chain([("other".to_owned(), 0)])
            .collect();
        Ok(())
    }

    pub(super) fn named(&self) -> &[(String, usize)] {
        &self.named
    }
}
