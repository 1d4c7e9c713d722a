//! Where sources are, for the response to attacks: by the database of the configuration, and which places the operator has decided
//! about. Policies for places are the business of `lists`.

use std::{collections::BTreeSet, net::IpAddr, path::Path};

use super::database::Database;
use crate::{
    config::{Config, GeoDefault, Place, PolicyMode},
    engine::places::{Places, Unknown},
    lists::{ListError, Of},
};

/// Where sources are.
pub(crate) struct Whereabouts {
    /// The database, if anything is done about places at all.
    database: Option<Database>,
    configured: BTreeSet<Place>,
    /// Whether the configuration says what becomes of places that it does not name.
    has_default: bool,
}

impl Whereabouts {
    /// By what `config` says; nothing is read yet.
    pub(crate) fn of(config: &Config) -> Self {
        let geo = &config.geo;
        let is_off = PolicyMode::Off;
        let countries = geo.country_database.clone().map(|file| (file, Of::Countries));
        let file = countries.or_else(|| geo.asn_database.clone().map(|file| (file, Of::Asns)));
        // Whatever their mode: they are the operator's word about these places.
        let configured = geo.policy.iter().flat_map(|policy| {
            let countries = policy.countries.iter().copied().map(Place::Country);
            countries.chain(policy.asns.iter().copied().map(Place::Asn))
        });
        let file = file.filter(|_| config.response.geo != is_off && config.response.mode != is_off);
        Self {
            database: file.map(|(file, of)| Database::new(file, of)),
            configured: configured.collect(),
            has_default: geo.default != GeoDefault::Pass,
        }
    }

    /// The file of the database.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.database.as_ref().map(Database::file)
    }

    /// Reads the database now.
    ///
    /// # Errors
    /// When it cannot be read; it is not known where sources are then.
    pub(crate) fn read(&mut self) -> Result<(), ListError> {
        self.database.as_mut().map_or(Ok(()), Database::read)
    }

    /// Has the database read when its file has changed.
    pub(crate) async fn follow(&mut self) {
        if let Some(database) = &mut self.database {
            database.follow().await;
        }
    }
}

impl Places for Whereabouts {
    fn place(&self, source: IpAddr) -> Option<Place> {
        self.database.as_ref()?.place(source)
    }

    fn is_configured(&self, place: Place) -> bool {
        self.configured.contains(&place)
    }

    fn unknown(&self) -> Option<Unknown> {
        match &self.database {
            None => Some(Unknown::NoDatabase),
            Some(database) if !database.is_known() => Some(Unknown::Unread),
            Some(_) => self.has_default.then_some(Unknown::Default),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whereabouts(text: &str) -> Whereabouts {
        Whereabouts::of(&Config::parse("test", text).unwrap())
    }

    #[test]
    fn what_the_operator_decided_is_known_and_what_is_off_is_not_read() {
        let places = whereabouts(
            "[geo]\ndefault = \"shadow\"\ncountry_database = \"/c\"\nasn_database = \"/a\"\n\
             [[geo.policy]]\ncountries = [\"AQ\"]\naction = \"allow\"\n\
             [[geo.policy]]\ncountries = [\"BV\"]\naction = \"block\"\nmode = \"off\"\n",
        );
        let is_configured = |code: &str| places.is_configured(Place::Country(code.parse().unwrap()));
        assert_eq!([is_configured("AQ"), is_configured("BV")], [true, true]);
        assert_eq!(places.file(), Some(Path::new("/c")));
        assert_eq!(places.unknown(), Some(Unknown::Unread));
        let asns = whereabouts("[geo]\nasn_database = \"/a\"\n");
        assert_eq!(asns.file(), Some(Path::new("/a")));
        let off = whereabouts("[geo]\nasn_database = \"/a\"\n[response]\ngeo = \"off\"\n");
        assert_eq!((off.file(), off.unknown()), (None, Some(Unknown::NoDatabase)));
    }
}
