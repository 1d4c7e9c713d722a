//! Where sources are, for the response to attacks: the database of the configuration, read beside the tick and again when its file has
//! changed; and which places the operator has decided about. Policies for places are the business of `lists`.

use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::{
    config::{Config, GeoDefault, Place, PolicyMode},
    engine::places::{Places, Unknown},
    lists::{Atlas, ListError, Of},
};

/// When a file was written, and how long it is.
type Stamp = (SystemTime, u64);

/// Where sources are.
pub(crate) struct Whereabouts {
    /// The database, if anything is done about places at all.
    file: Option<(PathBuf, Of)>,
    configured: BTreeSet<Place>,
    /// Whether the configuration says what becomes of places that it does not name.
    has_default: bool,
    atlas: Option<Arc<Atlas>>,
    /// What the file was when it was last looked at.
    seen: Option<Stamp>,
    reading: Option<JoinHandle<Result<Atlas, ListError>>>,
}

impl Whereabouts {
    /// By what `config` says; nothing is read yet.
    pub(crate) fn of(config: &Config) -> Self {
        let geo = &config.geo;
        let is_on = PolicyMode::Off;
        let countries = geo.country_database.clone().map(|file| (file, Of::Countries));
        let file = countries.or_else(|| geo.asn_database.clone().map(|file| (file, Of::Asns)));
        let policies = geo.policy.iter().filter(|policy| policy.mode != PolicyMode::Off);
        let configured = policies.flat_map(|policy| {
            let countries = policy.countries.iter().copied().map(Place::Country);
            countries.chain(policy.asns.iter().copied().map(Place::Asn))
        });
        Self {
            file: file.filter(|_| config.response.geo != is_on && config.response.mode != is_on),
            configured: configured.collect(),
            has_default: geo.default != GeoDefault::Pass,
            atlas: None,
            seen: None,
            reading: None,
        }
    }

    /// The file of the database.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|(file, _)| file.as_path())
    }

    /// Reads the database now.
    ///
    /// # Errors
    /// When it cannot be read; it is not known where sources are then.
    pub(crate) fn read(&mut self) -> Result<(), ListError> {
        if let Some((file, of)) = &self.file {
            self.atlas = Some(Arc::new(Atlas::read(file, *of)?));
        }
        Ok(())
    }

    /// Takes what was read meanwhile, and has the database read when its file has changed: a large one takes a second.
    pub(crate) async fn follow(&mut self) {
        if let Some(reading) = self.reading.take_if(|reading| reading.is_finished()) {
            match reading.await {
                Ok(Ok(atlas)) => {
                    info!("it is known where sources are");
                    self.atlas = Some(Arc::new(atlas));
                }
                Ok(Err(error)) => {
                    warn!("no country is held in attacks by a database that is not known: {error}")
                }
                Err(_) => warn!("the database of places was not read"),
            }
        }
        let Some((file, of)) = &self.file else { return };
        let stamp = look(file);
        if self.reading.is_none() && stamp.is_some() && stamp != self.seen {
            self.seen = stamp;
            let (file, of) = (file.clone(), *of);
            self.reading = Some(tokio::task::spawn_blocking(move || Atlas::read(&file, of)));
        }
    }
}

impl Places for Whereabouts {
    fn place(&self, source: IpAddr) -> Option<Place> {
        self.atlas.as_ref()?.place(source)
    }

    fn is_configured(&self, place: Place) -> bool {
        self.configured.contains(&place)
    }

    fn unknown(&self) -> Option<Unknown> {
        match &self.atlas {
            None => Some(Unknown::NoDatabase),
            Some(_) => self.has_default.then_some(Unknown::Default),
        }
    }
}

fn look(file: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whereabouts(text: &str) -> Whereabouts {
        Whereabouts::of(&Config::parse("test", text).unwrap())
    }

    #[tokio::test]
    async fn the_database_is_read_beside_the_tick_and_again_when_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("country.csv");
        let mut places = whereabouts(&format!("[geo]\ncountry_database = {file:?}\n"));
        let source = "192.0.2.1".parse().unwrap();
        for text in [
            "192.0.2.0/24,AQ\n",
            "192.0.2.0/24,BV\n# longer\n",
            "<html>, longer still",
        ] {
            places.follow().await;
            fs::write(&file, text).unwrap();
            places.follow().await;
            while places
                .reading
                .as_ref()
                .is_some_and(|reading| !reading.is_finished())
            {
                tokio::task::yield_now().await;
            }
            places.follow().await;
            let place = places.place(source).map(|place| place.to_string());
            // What is no database leaves what was known.
            let expected = text
                .split([',', '\n'])
                .nth(1)
                .filter(|code| code.len() == 2)
                .unwrap_or("BV");
            assert_eq!(place.as_deref(), Some(expected));
        }
        assert_eq!(places.unknown(), None);
    }

    #[test]
    fn what_the_operator_decided_is_known_and_what_is_off_is_not_read() {
        let places = whereabouts(
            "[geo]\ndefault = \"shadow\"\ncountry_database = \"/c\"\nasn_database = \"/a\"\n\
             [[geo.policy]]\ncountries = [\"AQ\"]\naction = \"allow\"\n\
             [[geo.policy]]\ncountries = [\"BV\"]\naction = \"block\"\nmode = \"off\"\n",
        );
        let is_configured = |code: &str| places.is_configured(Place::Country(code.parse().unwrap()));
        assert_eq!([is_configured("AQ"), is_configured("BV")], [true, false]);
        assert_eq!(places.file(), Some(Path::new("/c")));
        assert_eq!(places.unknown(), Some(Unknown::NoDatabase));
        let asns = whereabouts("[geo]\nasn_database = \"/a\"\n");
        assert_eq!(asns.file(), Some(Path::new("/a")));
        let off = whereabouts("[geo]\nasn_database = \"/a\"\n[response]\ngeo = \"off\"\n");
        assert_eq!(off.file(), None);
    }
}
