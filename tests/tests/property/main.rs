//! Is it right for everything? Laws of the datapath, on the host, for generated frames, rules and clocks.

mod audit;
mod bucket;
mod campaign;
mod captures;
mod decision;
mod feeds;
mod formats;
mod hearing;
mod l7;
mod ladder;
mod laws;
mod lists;
mod normal;
mod parser;
mod proof;
mod reflection;
mod reputation;
mod response;
mod store;
mod telemetry;
mod text;
mod tls;
