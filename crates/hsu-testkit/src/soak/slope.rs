//! Slopes by least squares, over several lives that each have a level of their own.

use std::collections::BTreeMap;
use std::fmt;

/// Points of one figure, by life.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    lives: BTreeMap<u32, Vec<(f64, f64)>>,
}

/// How fast a figure grows, and how well that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Slope {
    growth: f64,
    /// One standard error.
    error: f64,
}

impl Slope {
    /// What it is at least, by two standard errors.
    pub(super) fn at_least(self) -> f64 {
        self.growth - 2.0 * self.error
    }
}

impl fmt::Display for Slope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+.2} (error {:.2})", self.growth, self.error)
    }
}

impl Line {
    pub(super) fn add(&mut self, life: u32, at: f64, value: f64) {
        self.lives.entry(life).or_default().push((at, value));
    }

    /// The common slope; none at all when there are too few points.
    pub(super) fn slope(&self) -> Slope {
        let centred: Vec<(f64, f64)> = self.lives.values().flat_map(|life| centre(life)).collect();
        let spread: f64 = centred.iter().map(|(x, _)| x * x).sum();
        // Each life costs one degree of freedom for its level, and the slope another.
        let free = centred.len().saturating_sub(self.lives.len() + 1);
        if spread <= 0.0 || free == 0 {
            return Slope::default();
        }
        let growth = centred.iter().map(|(x, y)| x * y).sum::<f64>() / spread;
        let left: f64 = centred.iter().map(|(x, y)| (y - growth * x).powi(2)).sum();
        Slope { growth, error: (left / count(free) / spread).sqrt() }
    }
}

/// The points of one life around their middle.
fn centre(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let many = count(points.len());
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / many;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    points.iter().map(|point| (point.0 - x, point.1 - y)).collect()
}

fn count(many: usize) -> f64 {
    u32::try_from(many).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_is_seen_through_lives_that_each_begin_low() {
        let mut line = Line::default();
        for life in 0..3 {
            for minute in 0..20_u32 {
                let at = f64::from(life * 20 + minute);
                line.add(life, at, 50.0 + f64::from(minute) * 0.5);
            }
        }
        let slope = line.slope();
        assert!((slope.growth - 0.5).abs() < 1e-9 && slope.error < 1e-6, "{slope}");
    }

    #[test]
    fn what_only_swings_does_not_grow() {
        let mut line = Line::default();
        for minute in 0..100_u32 {
            line.add(1, f64::from(minute), f64::from(minute % 2));
        }
        let slope = line.slope();
        assert!(slope.growth.abs() < 0.01 && slope.at_least() < 0.0, "{slope}");
    }

    #[test]
    fn too_few_points_say_nothing() {
        let mut line = Line::default();
        line.add(1, 0.0, 1.0);
        line.add(1, 1.0, 9.0);
        assert_eq!(line.slope(), Slope::default());
    }
}
