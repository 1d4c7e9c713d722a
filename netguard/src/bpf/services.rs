//! The maps `SERVICES` and `SERVICE_LINES`: what holds for single services instead of the common limits.

use aya::maps::{Array, MapData};
use netguard_common::{
    layout::Service,
    service::{FREE, LINE, SERVICES, ServiceLine, slot},
};

use super::{BpfError, Pins, raw::Raw};

/// The services of an instance. Entries are written before the byte that points to them, and removed after it.
pub struct Services {
    entries: Array<MapData, Raw<Service>>,
    lines: Array<MapData, Raw<ServiceLine>>,
}

impl Services {
    /// Opens the pinned maps.
    ///
    /// # Errors
    /// When nothing is pinned or they may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, BpfError> {
        Ok(Self {
            entries: pins
                .open("SERVICES")?
                .try_into()
                .map_err(BpfError::map("SERVICES", SERVICES))?,
            lines: pins
                .open("SERVICE_LINES")?
                .try_into()
                .map_err(BpfError::map("SERVICE_LINES", 0))?,
        })
    }

    /// Every service that has an entry, in the order of protocol and port.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn list(&self) -> Result<Vec<Service>, BpfError> {
        let mut services: Vec<Service> = self.used()?.into_iter().map(|(_, entry)| entry).collect();
        services.sort_by_key(|service| (service.protocol, service.port));
        Ok(services)
    }

    /// The entry of a service, if it has one.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn of(&self, protocol: u8, port: u16) -> Result<Option<Service>, BpfError> {
        let mut services = self.list()?.into_iter();
        Ok(services.find(|entry| (entry.protocol, entry.port) == (protocol, port)))
    }

    /// Makes `service` hold instead of what held for it.
    ///
    /// # Errors
    /// When there are 255 others already, or the kernel refuses the write.
    pub fn set(&mut self, service: Service) -> Result<(), BpfError> {
        let used = self.used()?;
        let same = |entry: &Service| (entry.protocol, entry.port) == (service.protocol, service.port);
        let standing = used
            .iter()
            .find(|(_, entry)| same(entry))
            .map(|(index, _)| *index);
        let free = || (1..SERVICES).find(|index| used.iter().all(|(taken, _)| taken != index));
        let Some(index) = standing.or_else(free) else {
            return Err(BpfError::ServicesFull {
                capacity: SERVICES - 1,
            });
        };
        self.write(index, service)?;
        self.point(&service, index as u8)?;
        self.tell_tls()
    }

    /// Takes the entry of a service away; tells whether there was one.
    ///
    /// # Errors
    /// When the kernel refuses the write.
    pub fn remove(&mut self, protocol: u8, port: u16) -> Result<bool, BpfError> {
        let used = self.used()?;
        let found = used
            .into_iter()
            .find(|(_, entry)| (entry.protocol, entry.port) == (protocol, port));
        let Some((index, entry)) = found else {
            return Ok(false);
        };
        self.point(&entry, 0)?;
        self.write(index, FREE)?;
        self.tell_tls()?;
        Ok(true)
    }

    /// Makes `services` the only ones with entries.
    ///
    /// # Errors
    /// When they are more than 255, or the kernel refuses a write.
    pub fn replace(&mut self, services: &[Service]) -> Result<(), BpfError> {
        for standing in self.list()? {
            let kept = services
                .iter()
                .any(|wanted| (wanted.protocol, wanted.port) == (standing.protocol, standing.port));
            if !kept {
                self.remove(standing.protocol, standing.port)?;
            }
        }
        services.iter().try_for_each(|service| self.set(*service))
    }

    /// Whether any service has a policy for TLS.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn have_tls(&self) -> Result<bool, BpfError> {
        Ok(self.used()?.iter().any(|(_, entry)| entry.tls != 0))
    }

    /// Says in the entry of no service whether what leaves is to be looked at for TLS.
    fn tell_tls(&mut self) -> Result<(), BpfError> {
        let none = Service {
            tls: u8::from(self.have_tls()?),
            ..FREE
        };
        self.write(0, none)
    }

    /// Numbers and entries of all services.
    fn used(&self) -> Result<Vec<(u32, Service)>, BpfError> {
        let mut used = Vec::new();
        for index in 1..SERVICES {
            let entry = self
                .entries
                .get(&index, 0)
                .map_err(BpfError::map("SERVICES", SERVICES))?
                .0;
            if entry.protocol != 0 {
                used.push((index, entry));
            }
        }
        Ok(used)
    }

    fn write(&mut self, index: u32, service: Service) -> Result<(), BpfError> {
        self.entries
            .set(index, Raw(service), 0)
            .map_err(BpfError::map("SERVICES", SERVICES))
    }

    /// Makes the port of `service` point to entry `index`.
    fn point(&mut self, service: &Service, index: u8) -> Result<(), BpfError> {
        let Some(slot) = slot(service.protocol, service.port) else {
            return Ok(());
        };
        let failed = BpfError::map("SERVICE_LINES", 0);
        let mut line = self.lines.get(&(slot / LINE), 0).map_err(&failed)?;
        line.0.entries[(slot % LINE) as usize] = index;
        self.lines.set(slot / LINE, line, 0).map_err(&failed)
    }
}
