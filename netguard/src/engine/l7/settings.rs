//! From what on something is an offence.

/// From what on something is an offence. Each number holds for one source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Requests to all that it asks for, streams of HTTP/2 among them.
    pub requests: Pace,
    /// Requests for one route with one method.
    pub endpoint: Endpoint,
    pub cache: CacheBusting,
    pub enumeration: Enumeration,
    pub stuffing: Stuffing,
    pub cost: Cost,
    pub violations: Violations,
    pub resets: Resets,
    pub hellos: Hellos,
    pub foreign: Foreign,
    pub heads: Heads,
}

/// So many a second, and so many more at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    pub per_s: u32,
    pub burst: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            per_s: 100,
            burst: 500,
        }
    }
}

/// Requests for one route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Endpoint {
    pub per_s: u32,
    pub burst: u32,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            per_s: 50,
            burst: 250,
        }
    }
}

/// Requests for one route with queries that were not asked before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CacheBusting {
    /// Requests for the route within the time.
    pub requests: u32,
    /// So many of a hundred have a query of their own, and among those of everybody else less than half as many.
    pub percent: u32,
    pub within_s: u32,
}

impl Default for CacheBusting {
    fn default() -> Self {
        Self {
            requests: 200,
            percent: 90,
            within_s: 10,
        }
    }
}

/// Answers 404 and 403.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Enumeration {
    /// Targets (path and query) that were answered so, within the time; ten times as many where hardly anybody else asks.
    pub targets: u32,
    /// So many of a hundred answers are such, and of those to others less than half as many.
    pub percent: u32,
    pub within_s: u32,
}

impl Default for Enumeration {
    fn default() -> Self {
        Self {
            targets: 50,
            percent: 80,
            within_s: 30,
        }
    }
}

/// Answers 401 and 403 to POST at one route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stuffing {
    pub refusals: u32,
    /// So many of a hundred answers are such, and of those to others, where there are any, less than half as many.
    pub percent: u32,
    pub within_s: u32,
}

impl Default for Stuffing {
    fn default() -> Self {
        Self {
            refusals: 30,
            percent: 80,
            within_s: 60,
        }
    }
}

/// The time that the service took for its answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Milliseconds a second, over the time; three times as many where nobody else is served. An answer is at most twice what is usual for its route.
    pub ms_per_s: u32,
    pub within_s: u32,
    /// Routes whose answers usually take so long wait for something (long polling): they cost nothing.
    pub waiting_ms: u32,
    /// Only while the source has so many of a hundred of all that the service takes, by so many answers.
    pub percent: u32,
    pub answers: u32,
}

impl Default for Cost {
    fn default() -> Self {
        Self {
            ms_per_s: 2_000,
            within_s: 10,
            waiting_ms: 1_000,
            percent: 50,
            answers: 20,
        }
    }
}

/// What breaks the protocol, each flaw with a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Violations {
    /// The sum of the weights within the time.
    pub score: u32,
    pub within_s: u32,
    /// Where a body ends is a matter of opinion; NUL.
    pub smuggling: u32,
    /// A head without end, headers without number, ranges that overlap.
    pub excess: u32,
    /// What no parser takes: request lines, folded headers, lengths that cannot be.
    pub malformed: u32,
    /// What looks like an attempt to break in: evidence, and no proof. Each kind counts once for a route in ten seconds, all together never enough.
    pub injection: u32,
    /// What careless programs do: line ends, odd methods, too long a body.
    pub careless: u32,
    /// No host, or several: health checks that somebody wrote by hand have none.
    pub host: u32,
}

impl Default for Violations {
    fn default() -> Self {
        Self {
            score: 100,
            within_s: 60,
            smuggling: 50,
            excess: 34,
            malformed: 20,
            injection: 10,
            careless: 5,
            host: 1,
        }
    }
}

/// Streams of HTTP/2 that the client gives up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resets {
    pub resets: u32,
    /// So many of a hundred streams.
    pub percent: u32,
    pub within_s: u32,
}

impl Default for Resets {
    fn default() -> Self {
        Self {
            resets: 100,
            percent: 50,
            within_s: 10,
        }
    }
}

/// Handshakes of TLS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hellos {
    pub per_s: u32,
    pub burst: u32,
    /// Handshakes that the client did not go on with, within the time.
    pub left: u32,
    pub within_s: u32,
}

impl Default for Hellos {
    fn default() -> Self {
        Self {
            per_s: 20,
            burst: 100,
            left: 20,
            within_s: 30,
        }
    }
}

/// Conversations in another protocol than the service's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Foreign {
    pub conversations: u32,
    pub within_s: u32,
}

impl Default for Foreign {
    fn default() -> Self {
        Self {
            conversations: 20,
            within_s: 60,
        }
    }
}

/// Heads that are under way at once. An honest client on a bad line, with two seconds for each of a dozen lines, has six of them for 24 s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// So many that are under way for so long,
    pub many: u32,
    pub many_after_s: u32,
    /// or so many for longer. A single one may be that of somebody whose line broke.
    pub few: u32,
    pub few_after_s: u32,
}

impl Default for Heads {
    fn default() -> Self {
        Self {
            many: 16,
            many_after_s: 5,
            few: 5,
            few_after_s: 40,
        }
    }
}
