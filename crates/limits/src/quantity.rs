//! Kubernetes quantities (`k8s.io/apimachinery/pkg/api/resource`, `ParseQuantity`): `10M`, `1Gi`, `1e6`.

/// The values that are allowed where a text was refused, to follow "want" or "is not": `between 1k and 1P bits per second`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("want {0}")]
pub struct Expected(pub &'static str);

const NUMBER: Expected = Expected("a number, such as 10M or 1.5Gi");
const SUFFIX: Expected = Expected(
    "a number with one of the suffixes n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei or an exponent such as e6",
);

/// Kubernetes' bounds for a bandwidth in bits per second (`pkg/util/bandwidth`): 1k to 1P.
pub const RATES: std::ops::RangeInclusive<u64> = 1_000..=1_000_000_000_000_000;
pub(crate) const RATE: Expected = Expected("between 1k and 1P bits per second");

/// Reads a quantity of bits per second, rounded up, within [`RATES`].
///
/// # Errors
/// The allowed values.
pub fn rate(text: &str) -> Result<u64, Expected> {
    let rate = quantity(text)?;
    u64::try_from(rate).ok().filter(|rate| RATES.contains(rate)).ok_or(RATE)
}

/// A suffix's factor, as a power of ten or of two.
enum Scale {
    Ten(i32),
    Two(u32),
}

/// Reads a quantity and rounds it up to a whole number, as Kubernetes does. A number beyond the return type becomes its
/// largest value, or its smallest.
///
/// # Errors
/// Anything that Kubernetes does not read: an empty text, spaces, `1 M`, `0x10`, `1K`, `1ki`.
pub fn quantity(text: &str) -> Result<i128, Expected> {
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(NUMBER);
    }
    let scale = scale(suffix)?;
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let places = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
    let magnitude = round_up(digits, places, &scale, negative);
    Ok(if negative { -magnitude } else { magnitude })
}

fn scale(suffix: &str) -> Result<Scale, Expected> {
    Ok(match suffix {
        "n" => Scale::Ten(-9),
        "u" => Scale::Ten(-6),
        "m" => Scale::Ten(-3),
        "" => Scale::Ten(0),
        "k" => Scale::Ten(3),
        "M" => Scale::Ten(6),
        "G" => Scale::Ten(9),
        "T" => Scale::Ten(12),
        "P" => Scale::Ten(15),
        "E" => Scale::Ten(18),
        "Ki" => Scale::Two(10),
        "Mi" => Scale::Two(20),
        "Gi" => Scale::Two(30),
        "Ti" => Scale::Two(40),
        "Pi" => Scale::Two(50),
        "Ei" => Scale::Two(60),
        exponent => {
            let number = exponent.strip_prefix(['e', 'E']).ok_or(SUFFIX)?;
            Scale::Ten(number.parse().map_err(|_| SUFFIX)?)
        }
    })
}

/// Returns `digits`, of which the last `places` are decimals, times the scale, rounded up: away from zero for a positive
/// number, towards it for a negative one.
fn round_up(digits: &str, places: i32, scale: &Scale, negative: bool) -> i128 {
    if digits.is_empty() {
        return 0;
    }
    let (ten, two) = match scale {
        Scale::Ten(exponent) => (exponent.saturating_sub(places), 0),
        Scale::Two(exponent) => (places.saturating_neg(), *exponent),
    };
    let Ok(mantissa) = digits.parse::<i128>() else { return beyond(digits, ten, negative) };
    let Some(scaled) = mantissa.checked_mul(1 << two) else { return i128::MAX };
    if let Ok(exponent) = u32::try_from(ten) {
        return 10_i128
            .checked_pow(exponent)
            .and_then(|power| scaled.checked_mul(power))
            .unwrap_or(i128::MAX);
    }
    let up = i128::from(!negative);
    match 10_i128.checked_pow(ten.unsigned_abs()) {
        Some(divisor) => scaled / divisor + if scaled % divisor == 0 { 0 } else { up },
        None => up,
    }
}

/// Returns a number of more digits than fit: only its order of magnitude counts.
fn beyond(digits: &str, ten: i32, negative: bool) -> i128 {
    let whole_digits = i64::try_from(digits.len()).unwrap_or(i64::MAX).saturating_add(ten.into());
    match usize::try_from(whole_digits) {
        Ok(count @ 1..=30) => {
            let whole: i128 = digits[..count].parse().unwrap_or(i128::MAX);
            let exact = digits[count..].bytes().all(|digit| digit == b'0');
            whole + i128::from(!exact && !negative)
        }
        Ok(0) | Err(_) => i128::from(!negative),
        Ok(_) => i128::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are those of `resource.MustParse(text).Value()`.
    #[test]
    fn quantities_read_as_kubernetes_reads_them() {
        for (text, value) in [
            ("10M", 10_000_000),
            ("1Gi", 1 << 30),
            ("1e6", 1_000_000),
            ("1E6", 1_000_000),
            ("1500k", 1_500_000),
            ("0.5G", 500_000_000),
            ("1.5Mi", 1_572_864),
            ("+64k", 64_000),
            ("-1k", -1_000),
            (".5k", 500),
            ("5.", 5),
            ("1E", 1_000_000_000_000_000_000),
            ("100m", 1),
            ("1500m", 2),
            ("-1500m", -1),
            ("1n", 1),
            ("1e-3", 1),
            ("0", 0),
            ("0.0001k", 1),
            ("1.0000000001k", 1_001),
            ("000010M", 10_000_000),
        ] {
            assert_eq!(quantity(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn a_text_that_kubernetes_does_not_read_is_refused() {
        for text in [
            "", "M", "-", ".", "1 M", " 1M", "1M ", "0x10", "1K", "1ki", "1Mb", "1e", "1e6M", "1.2.3M",
            "10m!", "1ee6", "e6",
        ] {
            assert!(quantity(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn numbers_beyond_all_bounds_saturate() {
        let digits = "9".repeat(60);
        assert_eq!(quantity(&digits), Ok(i128::MAX));
        assert_eq!(quantity(&format!("-{digits}")), Ok(-i128::MAX));
        assert_eq!(quantity("1e2000000000"), Ok(i128::MAX));
        assert_eq!(quantity("1e-2000000000"), Ok(1));
        assert_eq!(quantity(&format!("0.{}1", "0".repeat(60))), Ok(1));
        assert_eq!(quantity(&format!("1.{}1", "0".repeat(60))), Ok(2));
        assert_eq!(quantity(&format!("1{}e-60", "0".repeat(60))), Ok(1));
    }
}
