//! The pure analysis chain: observe, detect, policy. No clock, no files, no sockets, no kernel: time and facts
//! are arguments, and what comes out is data. The daemon does I/O at both ends.

pub mod account;
pub mod attack;
pub mod baseline;
pub mod calm;
pub mod campaign;
pub mod chain;
pub mod controller;
pub mod detect;
pub mod draft;
pub mod enforce;
pub mod feature;
pub mod flooder;
pub mod guard;
pub mod l7;
pub mod learnt;
pub mod outlier;
pub mod peace;
pub mod places;
pub mod policy;
pub mod reputation;
pub mod response;
pub mod seen;
pub mod sketch;
pub mod slow;
pub mod spared;
pub mod traffic;
pub mod window;

pub use account::Account;
pub use attack::{Attack, Change, Tracker};
pub use baseline::Baselines;
pub use calm::Calm;
pub use campaign::Campaigns;
pub use chain::{Chain, Readings, Step, conclude};
pub use controller::Controller;
pub use enforce::{Enforced, RuleSink, enforce};
pub use feature::Features;
pub use flooder::{Cause, Finding, FlooderSettings, Flooders, Opened, SLOW_CONNECTIONS};
pub use guard::{Carved, Guard, GuardKind};
pub use learnt::Learnt;
pub use policy::{Action, Decision, Withheld, accountable, decide, divisor, objection, spare_guarded};
pub use reputation::Reputation;
pub use spared::Divided;
pub use traffic::{Entropy, TrafficWindow};
pub use window::{Activity, Dropped, Window, observe};
