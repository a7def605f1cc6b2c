//! How a run is divided: in proportion to what machines can do, and never above what one can carry.
//!
//! Water is filled into vessels: each gets its share by weight, those that are full are closed, and what is left
//! goes to the others in the same way.

/// What one machine is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vessel {
    /// Its share is in proportion to this.
    pub(crate) weight: u64,
    /// What it can carry.
    pub(crate) most: u64,
}

/// Divides `total`; `None` when that is more than all vessels together can carry.
pub(crate) fn divide(total: u32, vessels: &[Vessel]) -> Option<Vec<u32>> {
    let most = |vessel: &Vessel| vessel.most.min(total.into());
    let room: u64 = vessels.iter().map(most).sum();
    if room < total.into() {
        return None;
    }
    let mut shares = vec![0_u64; vessels.len()];
    let mut open: Vec<usize> = (0..vessels.len()).collect();
    let mut left = u64::from(total);
    loop {
        // One that weighs nothing may still be needed.
        let weight = |place: &usize| u128::from(vessels[*place].weight.max(1));
        let all: u128 = open.iter().map(weight).sum();
        let share = |place: &usize| u128::from(left) * weight(place) / all.max(1);
        let is_full = |place: &usize| share(place) >= u128::from(most(&vessels[*place]));
        let (full, rest): (Vec<usize>, Vec<usize>) = open.iter().partition(|place| is_full(place));
        if full.is_empty() {
            for place in &open {
                // Below `left`, which is 32 bits long.
                shares[*place] = share(place) as u64;
            }
            break;
        }
        for place in full {
            shares[place] = most(&vessels[place]);
            left -= shares[place].min(left);
        }
        open = rest;
    }
    deal_rest(total, &mut shares, vessels);
    Some(shares.into_iter().map(|share| share as u32).collect())
}

/// Deals out what rounding has left over, one each, where there is room.
fn deal_rest(total: u32, shares: &mut [u64], vessels: &[Vessel]) {
    let mut left = u64::from(total).saturating_sub(shares.iter().sum());
    while left > 0 {
        for (share, vessel) in shares.iter_mut().zip(vessels) {
            if left > 0 && *share < vessel.most {
                *share += 1;
                left -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vessels(list: &[(u64, u64)]) -> Vec<Vessel> {
        let vessel = |&(weight, most): &(u64, u64)| Vessel { weight, most };
        list.iter().map(vessel).collect()
    }

    #[test]
    fn shares_go_by_weight_until_somebody_is_full() {
        let many = u64::MAX;
        for (total, list, shares) in [
            (90, &[(1, many), (2, many)][..], &[30, 60][..]),
            (100, &[(1, many), (1, many), (1, many)], &[34, 33, 33]),
            (90, &[(1, many), (2, 20)], &[70, 20]),
            (90, &[(1, 25), (2, 20), (1, 45)], &[25, 20, 45]),
            (2, &[(1, 9), (1, 9), (1, 9)], &[1, 1, 0]),
            (5, &[(0, 5), (7, 0)], &[5, 0]),
        ] {
            assert_eq!(divide(total, &vessels(list)).as_deref(), Some(shares));
        }
        assert_eq!(divide(46, &vessels(&[(1, 25), (9, 20)])), None);
        assert_eq!(divide(1, &[]), None);
    }

    proptest! {
        #[test]
        fn all_is_divided_and_nobody_carries_more_than_it_can(
            total in 0..1_000_000_u32,
            list in prop::collection::vec((0..200_u64, 0..500_000_u64), 0..12),
        ) {
            let vessels = vessels(&list);
            let room: u64 = list.iter().map(|&(_, most)| most).sum();
            let Some(shares) = divide(total, &vessels) else {
                prop_assert!(room < total.into());
                return Ok(());
            };
            prop_assert_eq!(shares.iter().copied().map(u64::from).sum::<u64>(), u64::from(total));
            for (share, vessel) in shares.iter().zip(&vessels) {
                prop_assert!(u64::from(*share) <= vessel.most);
            }
            // Of two that are not full, the heavier has not less, but for what rounding leaves.
            for (one, a) in shares.iter().zip(&vessels) {
                for (two, b) in shares.iter().zip(&vessels) {
                    let is_open = u64::from(*one) < a.most;
                    if is_open && a.weight >= b.weight {
                        let rounding = vessels.len() as u32;
                        prop_assert!(*one + rounding >= *two, "{:?} {:?}", shares, vessels);
                    }
                }
            }
        }
    }
}
