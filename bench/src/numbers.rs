//! Numbers of a run, for people.

/// Returns the middle of `values`, between the two in the middle if they are even in number; `None`
/// without any.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(f64::midpoint(sorted[(sorted.len() - 1) / 2], upper))
}

/// Returns `number` with so many decimals and a comma between thousands.
pub(crate) fn grouped(number: f64, decimals: usize) -> String {
    let plain = format!("{:.decimals$}", number.abs());
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let whole = capacity::Grouped(whole.parse().unwrap_or(u64::MAX));
    let sign = if number < 0.0 { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_between_the_two_in_the_middle() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[9.0, 7.0, 8.0]), Some(8.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn thousands_are_grouped_and_fractions_are_not() {
        for (number, decimals, text) in [
            (0.0, 0, "0"),
            (999.4, 0, "999"),
            (1_000.0, 0, "1,000"),
            (-1_234_567.0, 0, "-1,234,567"),
            (-1_234.5, 1, "-1,234.5"),
            (12_345.678_9, 3, "12,345.679"),
        ] {
            assert_eq!(grouped(number, decimals), text);
        }
    }
}
