//! CIDR regions: the address space cut by every range that a policy names.
//!
//! All addresses within the same blocks are one region, wherever they lie. The cut is one walk over
//! the sorted prefixes with a stack of those that hold the present one: a prefix inherits what its
//! nearest holder is in, enters the blocks that begin with it and leaves those that except it.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{CompileError, capacity};
use crate::desired::Block;
use crate::words::address::Cidr;

/// The regions that policies cut.
#[derive(Debug)]
pub(super) struct Regions {
    /// Of each region the blocks it is in, ascending. The first is in none.
    pub(super) blocks: Vec<Rc<[usize]>>,
    /// Every prefix where a region begins, and every other prefix asked for, with its region.
    /// Sorted: a prefix stands after all that hold it.
    pub(super) prefixes: Vec<(Cidr, usize)>,
}

impl Regions {
    /// The region of addresses that no block holds.
    pub(super) const OUTSIDE: usize = 0;
}

/// What happens to the region at a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Enter(usize),
    Leave(usize),
    None,
}

/// Cuts the address space by the blocks, and places the other prefixes in it.
pub(super) fn cut(
    blocks: &[Block],
    others: impl Iterator<Item = Cidr>,
) -> Result<Regions, CompileError> {
    let mut changes: Vec<(Cidr, Change)> = others.map(|cidr| (cidr, Change::None)).collect();
    for (index, block) in blocks.iter().enumerate() {
        // What is excepted whole (Kubernetes refuses that) is entered nowhere.
        if block
            .except
            .iter()
            .any(|except| except.contains(&block.cidr))
        {
            continue;
        }
        changes.push((block.cidr, Change::Enter(index)));
        let leaves = block
            .except
            .iter()
            .map(|cidr| (*cidr, Change::Leave(index)));
        changes.extend(leaves);
    }
    changes.sort_unstable();

    let mut interned = Interned::default();
    let outside = interned.index(Rc::from([]));
    let mut prefixes: Vec<(Cidr, usize)> = Vec::new();
    let mut holders: Vec<(Cidr, usize)> = Vec::new();
    for same in changes.chunk_by(|(a, _), (b, _)| a == b) {
        let cidr = same[0].0;
        while holders
            .last()
            .is_some_and(|(holder, _)| !holder.contains(&cidr))
        {
            holders.pop();
        }
        let inherited = holders.last().map_or(outside, |(_, region)| *region);
        let region = interned.changed(inherited, same);
        capacity::check_regions(interned.blocks)?;
        holders.push((cidr, region));
        prefixes.push((cidr, region));
    }
    Ok(Regions {
        blocks: interned.regions,
        prefixes,
    })
}

/// The regions met so far.
#[derive(Default)]
struct Interned {
    regions: Vec<Rc<[usize]>>,
    indices: BTreeMap<Rc<[usize]>, usize>,
    /// The blocks of all of them together.
    blocks: usize,
}

impl Interned {
    fn index(&mut self, blocks: Rc<[usize]>) -> usize {
        let next = self.regions.len();
        let index = *self.indices.entry(blocks.clone()).or_insert(next);
        if index == next {
            self.blocks += blocks.len();
            self.regions.push(blocks);
        }
        index
    }

    /// The region that a sorted list of changes makes of another: all that is entered, then all
    /// that is left.
    fn changed(&mut self, region: usize, changes: &[(Cidr, Change)]) -> usize {
        if changes.iter().all(|(_, change)| *change == Change::None) {
            return region;
        }
        let mut blocks = self.regions[region].to_vec();
        let entered = changes.iter().filter_map(|(_, change)| match change {
            Change::Enter(block) => Some(*block),
            _ => None,
        });
        blocks.extend(entered);
        let left: Vec<usize> = changes
            .iter()
            .filter_map(|(_, change)| match change {
                Change::Leave(block) => Some(*block),
                _ => None,
            })
            .collect();
        blocks.retain(|block| left.binary_search(block).is_err());
        blocks.sort_unstable();
        self.index(blocks.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(cidr: &str, except: &[&str]) -> Block {
        Block {
            cidr: cidr.parse().unwrap(),
            except: except.iter().map(|e| e.parse().unwrap()).collect(),
        }
    }

    fn region_at(regions: &Regions, cidr: &str) -> Vec<usize> {
        let cidr: Cidr = cidr.parse().unwrap();
        let found = regions.prefixes.iter().find(|(c, _)| *c == cidr).unwrap();
        regions.blocks[found.1].to_vec()
    }

    #[test]
    fn an_except_ends_its_own_block_only_and_for_all_within() {
        let blocks = [
            block("10.0.0.0/8", &["10.1.0.0/16"]),
            block("10.0.0.0/8", &[]),
            block("10.1.2.0/24", &[]),
            block("::/0", &["fd00::/8"]),
        ];
        let others = [
            "10.1.2.3/32",
            "10.2.0.1/32",
            "9.0.0.1/32",
            "fd00::1/128",
            "2001:db8::1/128",
        ];
        let regions = cut(&blocks, others.iter().map(|o| o.parse().unwrap())).unwrap();
        assert_eq!(region_at(&regions, "10.0.0.0/8"), [0, 1]);
        assert_eq!(region_at(&regions, "10.1.0.0/16"), [1]);
        assert_eq!(region_at(&regions, "10.1.2.3/32"), [1, 2]);
        assert_eq!(region_at(&regions, "10.2.0.1/32"), [0, 1]);
        assert_eq!(region_at(&regions, "9.0.0.1/32"), [0; 0]);
        assert_eq!(region_at(&regions, "fd00::1/128"), [0; 0]);
        assert_eq!(region_at(&regions, "2001:db8::1/128"), [3]);
        // Addresses in the same blocks are one region, wherever they lie.
        assert_eq!(regions.blocks.len(), 5);
    }

    #[test]
    fn a_block_that_is_excepted_whole_holds_nothing() {
        let regions = cut(
            &[block("10.0.0.0/8", &["10.0.0.0/8"])],
            ["10.0.0.1/32".parse().unwrap()].into_iter(),
        )
        .unwrap();
        assert_eq!(region_at(&regions, "10.0.0.1/32"), [0; 0]);
    }

    /// Ten thousand ranges, each within the one before as far as an address is deep, and many side
    /// by side: the walk stays a walk.
    #[test]
    fn many_nested_ranges_are_cut_in_one_walk() {
        let mut blocks = Vec::new();
        for high in 0..100_u32 {
            for bits in 8..=32_u8 {
                let network = std::net::Ipv4Addr::from(high << 24);
                blocks.push(Block {
                    cidr: Cidr::new(network.into(), bits).unwrap(),
                    except: Vec::new(),
                });
            }
        }
        blocks.sort();
        let regions = cut(&blocks, std::iter::empty()).unwrap();
        assert_eq!(regions.prefixes.len(), 2_500);
        assert_eq!(regions.blocks.len(), 2_501);
        let deepest = regions.blocks.iter().map(|b| b.len()).max();
        assert_eq!(deepest, Some(25));
    }

    /// "Everybody but …", each with another exception: where one ends, all others go on.
    #[test]
    fn ranges_that_lie_within_each_other_in_too_many_ways_are_refused() {
        let blocks: Vec<Block> = (0..5_000_u32)
            .map(|n| Block {
                cidr: "0.0.0.0/0".parse().unwrap(),
                except: vec![Cidr::new(std::net::Ipv4Addr::from(n << 8).into(), 24).unwrap()],
            })
            .collect();
        assert!(cut(&blocks[..4_000], std::iter::empty()).is_ok());
        let most = capacity::REGION_BLOCKS_MOST;
        let refused = cut(&blocks, std::iter::empty());
        assert_eq!(
            refused.map(|_| ()),
            Err(CompileError::TooManyRanges { most })
        );
    }
}
