//! Trees that cut space at random and count points in the parts: how dense it is around a point, and which cuts say so (RS-forest, Wu and
//! others 2014, whose parts are those of half-space trees, Tan and others 2011, but cut anywhere). They choose no points.

use super::vector::LENGTH;

/// Trees, and how often each cuts.
const TREES: usize = 64;
const DEPTH: usize = 9;
/// Cuts of a tree, in the order of a heap.
const CUTS: usize = (1 << DEPTH) - 1;
/// The margins of a part in which it is not cut, as a part of it.
const MARGIN: f32 = 0.05;
/// What is added to each count: nothing is impossible.
const DOUBT: f32 = 0.5;

/// A point in the space that is cut, whose sides are from 0 to 1.
pub(super) type Point = [f32; LENGTH];

/// A forest.
#[derive(Clone)]
pub(super) struct Trees {
    trees: Vec<Tree>,
    points: u32,
}

#[derive(Clone)]
struct Tree {
    cuts: Vec<Cut>,
    /// Points in each part, the whole first.
    counts: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Cut {
    side: usize,
    at: f32,
    /// The part of the volume that lies below.
    below: f32,
}

impl Trees {
    /// Cuts that follow from `seed`, and no points.
    pub(super) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        Self {
            trees: (0..TREES).map(|_| Tree::new(&mut random)).collect(),
            points: 0,
        }
    }

    pub(super) fn add(&mut self, point: &Point) {
        self.points += 1;
        self.trees
            .iter_mut()
            .for_each(|tree| tree.walk(point, |count, _, _| *count += 1));
    }

    /// Takes out a point that was added.
    pub(super) fn remove(&mut self, point: &Point) {
        self.points = self.points.saturating_sub(1);
        let less = |count: &mut u32, _: usize, _: f32| *count = count.saturating_sub(1);
        self.trees.iter_mut().for_each(|tree| tree.walk(point, less));
    }

    /// How empty it is around `point`: binary orders of magnitude below the mean density, the mean over trees; and what of that each
    /// side adds. The sum of the sides is the score.
    pub(super) fn score(&self, point: &Point) -> [f32; LENGTH] {
        let mut sides = [0.0; LENGTH];
        for tree in &self.trees {
            let mut index = 0;
            for _ in 0..DEPTH {
                let cut = tree.cuts[index];
                let (child, volume) = cut.side_of(index, point);
                let (all, part) = (tree.counts[index] as f32, tree.counts[child] as f32);
                sides[cut.side] -= ((part + DOUBT) / (all + 2.0 * DOUBT) / volume).log2();
                if part == 0.0 {
                    break;
                }
                index = child;
            }
        }
        sides.map(|side| side / TREES as f32)
    }
}

impl Tree {
    fn new(random: &mut fastrand::Rng) -> Self {
        let mut boxes = vec![[(0.0, 1.0); LENGTH]; 2 * CUTS + 1];
        let mut cuts = Vec::with_capacity(CUTS);
        for index in 0..CUTS {
            let side = random.usize(..LENGTH);
            let (low, high): (f32, f32) = boxes[index][side];
            let below = MARGIN + (1.0 - 2.0 * MARGIN) * random.f32();
            let at = low + below * (high - low);
            for child in [2 * index + 1, 2 * index + 2] {
                boxes[child] = boxes[index];
            }
            boxes[2 * index + 1][side].1 = at;
            boxes[2 * index + 2][side].0 = at;
            cuts.push(Cut { side, at, below });
        }
        Self {
            cuts,
            counts: vec![0; 2 * CUTS + 1],
        }
    }

    /// Calls `each` with the count of every part that `point` is in.
    fn walk(&mut self, point: &Point, mut each: impl FnMut(&mut u32, usize, f32)) {
        let mut index = 0;
        each(&mut self.counts[0], 0, 1.0);
        for _ in 0..DEPTH {
            let cut = self.cuts[index];
            let (child, volume) = cut.side_of(index, point);
            each(&mut self.counts[child], cut.side, volume);
            index = child;
        }
    }
}

impl Cut {
    /// The part of the cut with this index that `point` is in, and how much of the volume that is.
    fn side_of(&self, index: usize, point: &Point) -> (usize, f32) {
        if point[self.side] < self.at {
            (2 * index + 1, self.below)
        } else {
            (2 * index + 2, 1.0 - self.below)
        }
    }
}
