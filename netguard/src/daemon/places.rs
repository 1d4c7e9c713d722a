//! Where sources are, for the response to attacks: by the database of the configuration, and which places the operator has decided
//! about. Policies for places are the business of `lists`.

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf, sync::Arc};

use super::database::{Databases, Reading};
use crate::{
    config::{Config, GeoDefault, Place, PolicyMode},
    engine::places::{Places, Unknown},
    lists::{Atlas, Of},
};

/// Where sources are.
pub(crate) struct Whereabouts {
    /// The database, if anything is done about places at all.
    database: Option<(PathBuf, Of)>,
    reading: Reading,
    configured: BTreeSet<Place>,
    /// Whether the configuration says what becomes of places that it does not name.
    has_default: bool,
}

/// The database that says so, and what it is asked for, if `config` has anything done about places.
pub(super) fn database(config: &Config) -> Option<(PathBuf, Of)> {
    let (geo, off) = (&config.geo, PolicyMode::Off);
    let countries = geo.country_database.clone().map(|file| (file, Of::Countries));
    let found = countries.or_else(|| geo.asn_database.clone().map(|file| (file, Of::Asns)));
    found.filter(|_| config.response.geo != off && config.response.mode != off)
}

impl Whereabouts {
    /// By what `config` says; nothing is known yet.
    pub(crate) fn of(config: &Config) -> Self {
        let geo = &config.geo;
        // Whatever their mode: they are the operator's word about these places.
        let configured = geo.policy.iter().flat_map(|policy| {
            let countries = policy.countries.iter().copied().map(Place::Country);
            countries.chain(policy.asns.iter().copied().map(Place::Asn))
        });
        Self {
            database: database(config),
            reading: Reading::default(),
            configured: configured.collect(),
            has_default: geo.default != GeoDefault::Pass,
        }
    }

    /// Takes over what is known by `databases` now.
    pub(crate) fn follow(&mut self, databases: &Databases) {
        if let Some((file, _)) = &self.database {
            self.reading = databases.reading(file);
        }
    }

    /// What is known by the database.
    pub(crate) fn atlas(&self) -> Option<Arc<Atlas>> {
        self.reading.atlas.clone()
    }

    /// The file of the database.
    #[cfg(test)]
    fn file(&self) -> Option<&std::path::Path> {
        self.database.as_ref().map(|(file, _)| file.as_path())
    }
}

impl Places for Whereabouts {
    fn place(&self, source: IpAddr) -> Option<Place> {
        let (_, of) = self.database.as_ref()?;
        self.reading.place(*of, source)
    }

    fn is_configured(&self, place: Place) -> bool {
        self.configured.contains(&place)
    }

    fn unknown(&self) -> Option<Unknown> {
        match (&self.database, &self.reading) {
            (None, _) => Some(Unknown::NoDatabase),
            (_, Reading { atlas: Some(_), .. }) => self.has_default.then_some(Unknown::Default),
            (_, Reading { fault: Some(why), .. }) => Some(Unknown::Unreadable(Arc::clone(why))),
            _ => Some(Unknown::Unread),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn whereabouts(text: &str) -> (Whereabouts, Databases) {
        let config = Config::parse("test", text).unwrap();
        (Whereabouts::of(&config), Databases::of(&config))
    }

    #[test]
    fn what_the_operator_decided_is_known_and_what_is_off_is_not_read() {
        let (places, _) = whereabouts(
            "[geo]\ndefault = \"shadow\"\ncountry_database = \"/c\"\nasn_database = \"/a\"\n\
             [[geo.policy]]\ncountries = [\"AQ\"]\naction = \"allow\"\n\
             [[geo.policy]]\ncountries = [\"BV\"]\naction = \"block\"\nmode = \"off\"\n",
        );
        let is_configured = |code: &str| places.is_configured(Place::Country(code.parse().unwrap()));
        assert_eq!([is_configured("AQ"), is_configured("BV")], [true, true]);
        assert_eq!(places.file(), Some(Path::new("/c")));
        assert_eq!(places.unknown(), Some(Unknown::Unread));
        let (asns, _) = whereabouts("[geo]\nasn_database = \"/a\"\n");
        assert_eq!(asns.file(), Some(Path::new("/a")));
        let (off, _) = whereabouts("[geo]\nasn_database = \"/a\"\n[response]\ngeo = \"off\"\n");
        assert_eq!((off.file(), off.unknown()), (None, Some(Unknown::NoDatabase)));
    }

    /// Found in review: a database that was named and could not be read was told as one that nobody names.
    #[test]
    fn a_database_that_cannot_be_read_is_named() {
        let (mut places, mut databases) =
            whereabouts("[geo]\ndefault = \"shadow\"\ncountry_database = \"/nowhere/country.csv\"\n");
        databases.read();
        places.follow(&databases);
        let Some(Unknown::Unreadable(why)) = places.unknown() else {
            panic!("{:?}", places.unknown())
        };
        assert!(
            why.starts_with("/nowhere/country.csv cannot be read: No such file"),
            "{why}"
        );
    }
}
