//! The time that a CPU read last. In the kernel the coarse clock stands still between two ticks, and so does the count of ticks,
//! which costs next to nothing: a CPU asks for the time once a tick.

crate::shared! {
    /// The entry of the map `CLOCK`.
    pub struct Clock {
        /// The tick in which the clock was read.
        pub tick: u64,
        /// What it told, in ns.
        pub now_ns: u64,
    }
}

impl Clock {
    /// The time in `tick`, in ns, which `read` tells.
    #[inline(always)]
    pub fn now_ns(&mut self, tick: u64, read: impl FnOnce() -> u64) -> u64 {
        if self.tick != tick {
            self.now_ns = read();
            self.tick = tick;
        }
        self.now_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Field as _;

    #[test]
    fn the_clock_is_read_once_a_tick() {
        let mut clock = Clock::ZERO;
        assert_eq!(clock.now_ns(7, || 100), 100);
        assert_eq!(clock.now_ns(7, || 200), 100);
        assert_eq!(clock.now_ns(8, || 200), 200);
    }
}
