//! The values of a day and of the one before, as quantiles (DDSketch, Masson and others 2019: within 1 % of the value). They are
//! written as bytes, which are a tenth of the sketch's own form in JSON; what they mean is not known here.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sketches_ddsketch::{Config, DDSketch};

/// Beyond, a value counts as this; below the least, as none. What lies between fits into the bins of a sketch, which never have to
/// be merged.
pub(super) const LARGEST: f64 = 1e12;
const LEAST: f64 = 1e-3;
/// Generations at the most.
const KEPT: usize = 2;

/// The sketch of this generation and of the one before, as far as there are any.
#[derive(Clone, Default)]
pub(super) struct Generations(Vec<DDSketch>);

impl Generations {
    pub(super) fn add(&mut self, value: f64) {
        if self.0.is_empty() {
            self.0.push(DDSketch::new(Config::defaults()));
        }
        if let Some(newest) = self.0.last_mut() {
            newest.add(if value < LEAST { 0.0 } else { value.min(LARGEST) });
        }
    }

    /// Begins a generation, and forgets the one before the last.
    pub(super) fn turn(&mut self) {
        if self.0.len() >= KEPT {
            self.0.remove(0);
        }
        self.0.push(DDSketch::new(Config::defaults()));
    }

    /// Of both together.
    pub(super) fn quantile(&self, part: f64) -> Option<f64> {
        self.quantiles([part])[0]
    }

    /// Several at the price of one.
    pub(super) fn quantiles<const N: usize>(&self, parts: [f64; N]) -> [Option<f64>; N] {
        let of = |sketch: &DDSketch| parts.map(|part| sketch.quantile(part).ok().flatten());
        match &self.0[..] {
            [] => [None; N],
            [only] => of(only),
            [first, rest @ ..] => {
                let mut all = first.clone();
                // They are of one kind: nothing is refused.
                let merged = rest.iter().all(|sketch| all.merge(sketch).is_ok());
                if merged { of(&all) } else { [None; N] }
            }
        }
    }

    /// The highest value of both.
    pub(super) fn highest(&self) -> f64 {
        let highest = self.0.iter().filter_map(DDSketch::max);
        highest.fold(0.0, f64::max)
    }
}

impl Serialize for Generations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hex = |sketch: &DDSketch| -> String {
            let bytes = sketch.to_java_bytes();
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        serializer.collect_seq(self.0.iter().map(hex))
    }
}

impl<'de> Deserialize<'de> for Generations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        if texts.len() > KEPT {
            return Err(D::Error::custom("there are more days than are kept"));
        }
        let sketches = texts.iter().map(|text| sketch(text).map_err(D::Error::custom));
        sketches.collect::<Result<_, _>>().map(Self)
    }
}

fn sketch(hex: &str) -> Result<DDSketch, String> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = hex.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| match pair {
            [high, low] => Some((digit(high)? * 16 + digit(low)?) as u8),
            _ => None,
        })
        .collect();
    let bytes = bytes.ok_or("a sketch is not written in hexadecimal digits")?;
    let sketch =
        DDSketch::from_java_bytes(&bytes).map_err(|error| format!("a sketch is damaged: {error}"))?;
    let mut empty = DDSketch::new(Config::defaults());
    let numbers = [sketch.min(), sketch.max(), sketch.sum()];
    if !numbers.into_iter().flatten().all(f64::is_finite) || empty.merge(&sketch).is_err() {
        return Err("a sketch is none of ours".to_owned());
    }
    Ok(sketch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let mut generations = Generations::default();
        for value in [0.0, 1e-9, 0.5, 3.0, 1e6, 1e300] {
            generations.add(value);
        }
        generations.turn();
        generations.add(7.0);
        let text = serde_json::to_string(&generations).expect("it is written");
        let back: Generations = serde_json::from_str(&text).expect("it is read");
        assert_eq!(serde_json::to_string(&back).expect("again"), text);
        for part in [0.0, 0.3, 0.5, 0.99, 1.0] {
            assert_eq!(back.quantile(part), generations.quantile(part));
        }
        assert_eq!((back.highest(), back.quantile(0.0)), (LARGEST, Some(0.0)));
        let nothing: Generations = serde_json::from_str("[]").expect("nothing is something");
        assert_eq!(nothing.quantile(0.5), None);
        let mut emptied = Generations::default();
        emptied.turn();
        let text = serde_json::to_string(&emptied).expect("it is written");
        assert!(serde_json::from_str::<Generations>(&text).is_ok(), "{text}");
    }

    #[test]
    fn what_is_no_sketch_is_refused() {
        for wrong in ["[\"0\"]", "[\"zz\"]", "[\"ff\"]", "[\"\"]", "[1]", "[[],[],[]]"] {
            assert!(serde_json::from_str::<Generations>(wrong).is_err(), "{wrong}");
        }
        let mut other = DDSketch::new(Config::new(0.2, 64, 1e-9));
        other.add(1.0);
        let hex: String = other
            .to_java_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert!(serde_json::from_str::<Generations>(&format!("[\"{hex}\"]")).is_err());
    }
}
