//! What is new at one look at the chain, as it is told: line by line while there are few, and as one where a busy chain
//! makes more of them than anybody reads.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::index::Line;

/// Lines that are told one by one at one look.
const ONE_BY_ONE: usize = 32;
/// Pages that one event names; more is told as a reset.
const PAGES: usize = 2_048;

/// Lines that nobody has been told yet.
#[derive(Debug, Default)]
pub(crate) struct News {
    few: Vec<Arc<Line>>,
    many: Option<Many>,
}

#[derive(Debug)]
struct Many {
    newest: Arc<Line>,
    lines: u64,
    pages: BTreeSet<String>,
}

/// How what is new is told.
#[derive(Debug, PartialEq)]
pub(crate) enum Telling {
    /// Each line by itself.
    Lines(Vec<Arc<Line>>),
    /// The newest line, with the pages of all, and how many lines before it are not told.
    Newest(Line, u64),
    /// Read again what is shown.
    Reset,
}

impl News {
    pub(crate) fn add(&mut self, line: Arc<Line>) {
        if self.many.is_none() && self.few.len() < ONE_BY_ONE {
            self.few.push(line);
            return;
        }
        let few = std::mem::take(&mut self.few);
        let many = self.many.get_or_insert_with(|| Many {
            newest: Arc::clone(&line),
            lines: 0,
            pages: BTreeSet::new(),
        });
        for line in few.iter().chain([&line]) {
            many.lines += 1;
            // one more than is told says that there are more
            if many.pages.len() <= PAGES {
                many.pages.extend(line.touches.iter().cloned());
            }
        }
        many.newest = line;
    }

    pub(crate) fn clear(&mut self) {
        *self = News::default();
    }

    /// What there was to tell; nothing is left.
    pub(crate) fn take(&mut self) -> Telling {
        let News { few, many } = std::mem::take(self);
        match many {
            None => Telling::Lines(few),
            Some(many) if many.pages.len() > PAGES => Telling::Reset,
            Some(many) => Telling::Newest(
                Line {
                    touches: many.pages.into_iter().collect(),
                    ..(*many.newest).clone()
                },
                many.lines - 1,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use gavel_node::{Address, B256};

    use super::*;
    use crate::index::Tone;

    fn line(n: u64, touches: &[String]) -> Arc<Line> {
        Arc::new(Line {
            n,
            block: n,
            time: n,
            transaction: B256::ZERO,
            who: Address::ZERO,
            what: format!("does {n}"),
            details: Vec::new(),
            tone: Tone::Plain,
            touches: touches.to_vec(),
        })
    }

    fn told(lines: u64, touches: impl Fn(u64) -> Vec<String>) -> Telling {
        let mut news = News::default();
        (1..=lines).for_each(|n| news.add(line(n, &touches(n))));
        let telling = news.take();
        assert_eq!(news.take(), Telling::Lines(Vec::new()));
        telling
    }

    #[test]
    fn few_lines_are_told_one_by_one() {
        let Telling::Lines(lines) = told(ONE_BY_ONE as u64, |_| Vec::new()) else {
            panic!("they are told as one");
        };
        assert!(lines.iter().map(|l| l.n).eq(1..=ONE_BY_ONE as u64));
    }

    #[test]
    fn many_lines_are_told_as_the_newest_with_the_pages_of_all() {
        let touches = |n: u64| vec![format!("task/{}", n / 5), "auction".to_owned()];
        let Telling::Newest(line, before) = told(100, touches) else {
            panic!("they are told otherwise");
        };
        assert_eq!((line.n, before), (100, 99));
        // tasks 0 to 20, and the auction
        assert_eq!(line.touches.len(), 22);
        for n in 1..=100 {
            assert!(touches(n).iter().all(|page| line.touches.contains(page)));
        }
    }

    #[test]
    fn what_touches_more_than_can_be_named_is_a_reset() {
        let touches = |n: u64| vec![format!("task/{n}")];
        let most = PAGES as u64;
        assert!(matches!(told(most, touches), Telling::Newest(..)));
        assert_eq!(told(most + 1, touches), Telling::Reset);
    }
}
