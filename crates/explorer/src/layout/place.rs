//! Layers, order within layers, coordinates. After Sugiyama: longest paths give the layers, a few sweeps of barycentres the order;
//! lines over few layers pass through places of their own, longer ones and those from the step before go round the side.

/// Where a box is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) x: i64,
    pub(super) y: i64,
    pub(super) w: i64,
    pub(super) h: i64,
    pub(super) rank: u32,
}

/// Boxes and lines with their places.
pub(super) struct Places {
    pub(super) boxes: Vec<Placed>,
    pub(super) lines: Vec<Vec<[i64; 2]>>,
    pub(super) width: i64,
    pub(super) height: i64,
}

const WIDTH: i64 = 150;
const HEIGHT: i64 = 40;
const ACROSS: i64 = 30;
const DOWN: i64 = 34;
/// Width of a line that passes a layer.
const PASSING: i64 = 12;
/// Room around everything.
const EDGE: i64 = 20;
/// Distance between lines at the side.
const LANE: i64 = 10;
/// Lanes of a side; more share them.
const LANES: usize = 40;
/// A line over more layers goes round the side.
const SPAN_MAX: u32 = 8;
/// Sweeps, down and up in turn.
const SWEEPS: usize = 4;
/// Fractions of barycentres.
const FINE: i64 = 1 << 10;

/// Something in a layer: a box, or a line that passes.
#[derive(Clone, Debug)]
struct Item {
    rank: u32,
    width: i64,
    above: Vec<usize>,
    below: Vec<usize>,
    x: i64,
}

/// Places boxes that are in topological order.
pub(super) fn place(count: usize, edges: &[(usize, usize, bool)]) -> Places {
    let ranks = ranks(count, edges);
    let mut items: Vec<Item> = ranks
        .iter()
        .map(|rank| Item {
            rank: *rank,
            width: WIDTH,
            above: Vec::new(),
            below: Vec::new(),
            x: 0,
        })
        .collect();
    let mut passing: Vec<Vec<usize>> = Vec::with_capacity(edges.len());
    for (from, to, state) in edges {
        let mut through = Vec::new();
        let (top, bottom) = (ranks[*from], ranks[*to]);
        if !state && bottom - top <= SPAN_MAX {
            let mut last = *from;
            for rank in top + 1..bottom {
                items.push(Item {
                    rank,
                    width: PASSING,
                    above: vec![last],
                    below: Vec::new(),
                    x: 0,
                });
                let own = items.len() - 1;
                items[last].below.push(own);
                through.push(own);
                last = own;
            }
            items[last].below.push(*to);
            items[*to].above.push(last);
        }
        passing.push(through);
    }
    let layers = order(&mut items);
    coordinates(&mut items, &layers);
    let boxes: Vec<Placed> = items[..count]
        .iter()
        .map(|item| Placed {
            x: item.x,
            y: row(item.rank),
            w: WIDTH,
            h: HEIGHT,
            rank: item.rank,
        })
        .collect();
    finish(boxes, &items, edges, &passing, layers.len())
}

fn row(rank: u32) -> i64 {
    EDGE + i64::from(rank) * (HEIGHT + DOWN)
}

/// Layers by longest paths; boxes without anything above are put right above what they feed.
fn ranks(count: usize, edges: &[(usize, usize, bool)]) -> Vec<u32> {
    let mut ranks = vec![0u32; count];
    let mut fed = vec![false; count];
    let mut by_end: Vec<(usize, usize)> = edges
        .iter()
        .filter(|e| !e.2)
        .map(|(a, b, _)| (*b, *a))
        .collect();
    by_end.sort_unstable();
    for (to, from) in &by_end {
        ranks[*to] = ranks[*to].max(ranks[*from] + 1);
        fed[*to] = true;
    }
    let mut least = vec![u32::MAX; count];
    for (to, from) in &by_end {
        least[*from] = least[*from].min(ranks[*to]);
    }
    for (at, rank) in ranks.iter_mut().enumerate() {
        if !fed[at] && least[at] != u32::MAX {
            *rank = least[at] - 1;
        }
    }
    ranks
}

/// The layers, each in its order.
fn order(items: &mut [Item]) -> Vec<Vec<usize>> {
    let depth = items
        .iter()
        .map(|item| item.rank)
        .max()
        .map_or(0, |rank| rank as usize + 1);
    let mut layers: Vec<Vec<usize>> = vec![Vec::new(); depth];
    for (at, item) in items.iter().enumerate() {
        layers[item.rank as usize].push(at);
    }
    let mut position = vec![0i64; items.len()];
    let settle = |layer: &[usize], position: &mut Vec<i64>| {
        for (at, item) in layer.iter().enumerate() {
            position[*item] = at as i64 * FINE;
        }
    };
    for layer in &layers {
        settle(layer, &mut position);
    }
    for sweep in 0..SWEEPS {
        let downwards = sweep % 2 == 0;
        let ranks: Vec<usize> = match downwards {
            true => (0..depth).collect(),
            false => (0..depth).rev().collect(),
        };
        for rank in ranks {
            let mut keyed: Vec<(i64, usize, usize)> = Vec::with_capacity(layers[rank].len());
            for (at, item) in layers[rank].iter().enumerate() {
                let near = if downwards {
                    &items[*item].above
                } else {
                    &items[*item].below
                };
                let sum: i64 = near.iter().map(|other| position[*other]).sum();
                let key = match near.len() {
                    0 => position[*item],
                    n => sum / n as i64,
                };
                keyed.push((key, at, *item));
            }
            keyed.sort_unstable();
            layers[rank] = keyed.into_iter().map(|(_, _, item)| item).collect();
            settle(&layers[rank], &mut position);
        }
    }
    layers
}

/// Every item as near to the middle of what is above it as its neighbours allow.
fn coordinates(items: &mut [Item], layers: &[Vec<usize>]) {
    for layer in layers {
        let mut right = i64::MIN / 4;
        let mut wanted_sum = 0;
        let mut placed_sum = 0;
        let mut wishes = 0;
        for &at in layer {
            let above = &items[at].above;
            let middle: i64 = above
                .iter()
                .map(|other| items[*other].x + items[*other].width / 2)
                .sum();
            let wish = match above.len() {
                0 => None,
                n => Some(middle / n as i64 - items[at].width / 2),
            };
            let least = if right < 0 && right == i64::MIN / 4 {
                None
            } else {
                Some(right + ACROSS)
            };
            let x = match (wish, least) {
                (Some(wish), Some(least)) => wish.max(least),
                (Some(wish), None) => wish,
                (None, Some(least)) => least,
                (None, None) => 0,
            };
            if let Some(wish) = wish {
                wanted_sum += wish;
                placed_sum += x;
                wishes += 1;
            }
            items[at].x = x;
            right = x + items[at].width;
        }
        // what was pushed to the right is shared by all
        if wishes > 0 {
            let shift = (wanted_sum - placed_sum) / wishes;
            for &at in layer {
                items[at].x += shift;
            }
        }
    }
}

/// Moves everything to positive coordinates and draws the lines.
fn finish(
    mut boxes: Vec<Placed>,
    items: &[Item],
    edges: &[(usize, usize, bool)],
    passing: &[Vec<usize>],
    depth: usize,
) -> Places {
    let is_side = |(from, to, state): &(usize, usize, bool)| {
        *state || boxes[*to].rank - boxes[*from].rank > SPAN_MAX
    };
    let state_lanes = lanes(edges, &boxes, |e| e.2);
    let long_lanes = lanes(edges, &boxes, |e| !e.2 && is_side(e));
    let used = |lanes: &[Option<usize>]| {
        lanes
            .iter()
            .flatten()
            .max()
            .map_or(0, |lane| *lane as i64 + 1)
    };
    let left_room = EDGE + used(&state_lanes) * LANE;
    let leftmost = items.iter().map(|item| item.x).min().unwrap_or(0);
    let shift = left_room - leftmost;
    for placed in &mut boxes {
        placed.x += shift;
    }
    let rightmost = items
        .iter()
        .map(|item| item.x + item.width)
        .max()
        .unwrap_or(0)
        + shift;
    let mut lines = Vec::with_capacity(edges.len());
    for (at, (from, to, state)) in edges.iter().enumerate() {
        let (a, b) = (&boxes[*from], &boxes[*to]);
        let (ax, ay) = (a.x + a.w / 2, a.y + a.h);
        let (bx, by) = (b.x + b.w / 2, b.y);
        let lane = if *state {
            state_lanes[at]
        } else {
            long_lanes[at]
        };
        let mut points = vec![[ax, ay]];
        match lane {
            Some(lane) => {
                let x = match state {
                    true => EDGE / 2 + lane as i64 * LANE,
                    false => rightmost + EDGE / 2 + lane as i64 * LANE,
                };
                points.extend([
                    [ax, ay + DOWN / 4],
                    [x, ay + DOWN / 4],
                    [x, by - DOWN / 4],
                    [bx, by - DOWN / 4],
                ]);
            }
            None => {
                for item in &passing[at] {
                    let own = &items[*item];
                    let x = own.x + shift + own.width / 2;
                    points.extend([[x, row(own.rank)], [x, row(own.rank) + HEIGHT]]);
                }
            }
        }
        points.push([bx, by]);
        lines.push(points);
    }
    let lane_room = used(&long_lanes) * LANE;
    Places {
        boxes,
        lines,
        width: rightmost + lane_room + EDGE,
        height: row(depth as u32) - DOWN + EDGE,
    }
}

/// Lanes at a side: lines from one box share one, others are kept apart while they run side by side and there is room.
fn lanes(
    edges: &[(usize, usize, bool)],
    boxes: &[Placed],
    wanted: impl Fn(&(usize, usize, bool)) -> bool,
) -> Vec<Option<usize>> {
    let mut spans: std::collections::BTreeMap<usize, (u32, u32)> =
        std::collections::BTreeMap::new();
    for edge in edges.iter().filter(|edge| wanted(edge)) {
        let (a, b) = (boxes[edge.0].rank, boxes[edge.1].rank);
        let span = spans.entry(edge.0).or_insert((a.min(b), a.max(b)));
        *span = (span.0.min(a).min(b), span.1.max(a).max(b));
    }
    let mut order: Vec<(u32, u32, usize)> =
        spans.iter().map(|(from, (a, b))| (*a, *b, *from)).collect();
    order.sort_unstable();
    let mut ends: Vec<u32> = Vec::new();
    let mut lane_of: std::collections::BTreeMap<usize, usize> = std::collections::BTreeMap::new();
    for (first, last, from) in order {
        let free = ends.iter().position(|end| *end < first);
        let lane = match free {
            Some(lane) => lane,
            None if ends.len() < LANES => {
                ends.push(0);
                ends.len() - 1
            }
            None => from % LANES,
        };
        ends[lane] = ends[lane].max(last);
        lane_of.insert(from, lane);
    }
    let each = edges.iter().map(|edge| match wanted(edge) {
        true => lane_of.get(&edge.0).copied(),
        false => None,
    });
    each.collect()
}
