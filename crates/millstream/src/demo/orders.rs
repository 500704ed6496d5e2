//! Realistic shop orders: what the demo's producer sends.
//!
//! Pure: a seed and a clock reading give the same orders. Among them, on
//! purpose: orders that come late, lines that are not JSON, and from time to
//! time a region whose bank channel fails, so that an alert fires.

use super::places::{PROVINCES, Province};
use super::products::{FAIL_REASONS, PAY_METHODS, PRODUCTS};
use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// One order in a thousand comes this late, in milliseconds: past any open
/// window of the demo's jobs.
const VERY_LATE_MS: std::ops::Range<i64> = 15_000..40_000;
/// Ordinary delay between the shop and the log, in milliseconds.
const ORDINARY_DELAY_MS: std::ops::Range<i64> = 5..60;
/// Length of one cycle of calm and incident, in milliseconds.
const INCIDENT_CYCLE_MS: i64 = 75_000;
/// How long the incident lasts within its cycle, in milliseconds.
const INCIDENT_MS: i64 = 15_000;
/// When in the first cycle the first incident begins, in milliseconds.
const INCIDENT_OFFSET_MS: i64 = 12_000;

/// A record for the topic `orders`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRecord {
    /// The order's id, so that one order's events keep their order.
    pub key: String,
    /// JSON, or what a broken client sent instead.
    pub value: String,
    /// When the record is produced, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

/// Makes orders.
pub struct OrderGenerator {
    rng: StdRng,
    start_ms: i64,
    next_id: u64,
    province_weights: u32,
}

impl OrderGenerator {
    /// A generator whose incidents count from `start_ms`.
    pub fn new(seed: u64, start_ms: i64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            start_ms,
            next_id: u64::try_from(start_ms / 1_000).unwrap_or(0) * 1_000 % 100_000_000,
            province_weights: PROVINCES.iter().map(|p| p.weight).sum(),
        }
    }

    /// How many orders a second the shop sees at `now_ms`, around `base`:
    /// slow waves with short bursts on top.
    pub fn rate_per_s(&self, base: f64, now_ms: i64) -> f64 {
        let t = (now_ms - self.start_ms) as f64 / 1_000.0;
        let wave = 1.0 + 0.22 * (t / 41.0).sin() + 0.10 * (t / 13.0).sin();
        let burst = if (t % 97.0) > 88.0 { 1.6 } else { 1.0 };
        base * wave * burst
    }

    /// The next order, produced at `now_ms`.
    pub fn next(&mut self, now_ms: i64) -> OrderRecord {
        self.next_id += 1;
        let key = format!("o-{:08}", self.next_id);
        if self.rng.random_ratio(1, 700) {
            return OrderRecord {
                value: self.malformed(&key),
                key,
                timestamp_ms: now_ms,
            };
        }
        let value = self.order(&key, now_ms);
        OrderRecord {
            key,
            value,
            timestamp_ms: now_ms,
        }
    }

    fn order(&mut self, id: &str, now_ms: i64) -> String {
        let province = self.province();
        let city = province.cities[self.skewed(province.cities.len())];
        let product = pick(&mut self.rng, &PRODUCTS, |p| p.weight);
        let quantity = if product.price_fen < 20_000 {
            self.rng.random_range(1..=4)
        } else {
            1
        };
        // Coupons: up to 15 % off, in whole yuan where the price is large.
        let amount_fen =
            product.price_fen * quantity * i64::from(self.rng.random_range(85..=100_i32)) / 100;
        let (pay_method, _) = *pick(&mut self.rng, &PAY_METHODS, |p| p.1);
        let (status, fail_reason) = self.payment(province, pay_method, now_ms);
        let order_ms = now_ms - self.delay_ms();
        serde_json::json!({
            "order_id": id,
            "user_id": self.rng.random_range(100_000..999_999_i64),
            "province": province.name,
            "city": city,
            "region": province.region,
            "product": product.name,
            "category": product.category,
            "quantity": quantity,
            "amount": format!("{}.{:02}", amount_fen / 100, amount_fen % 100)
                .parse::<serde_json::Number>()
                .unwrap_or_else(|_| 0.into()),
            "pay_method": pay_method,
            "status": status,
            "fail_reason": fail_reason,
            "order_time": iso_8601(order_ms),
        })
        .to_string()
    }

    fn payment(
        &mut self,
        province: &Province,
        pay_method: &str,
        now_ms: i64,
    ) -> (&'static str, Option<&'static str>) {
        if let Some(region) = self.incident_region(now_ms)
            && region == province.region
            && self
                .rng
                .random_ratio(if pay_method == "银行卡" { 8 } else { 3 }, 10)
        {
            return ("failed", Some("银行通道超时"));
        }
        match self.rng.random_range(0..1_000) {
            0..24 => (
                "failed",
                Some(pick(&mut self.rng, &FAIL_REASONS, |r| r.1).0),
            ),
            24..54 => ("pending", None),
            _ => ("paid", None),
        }
    }

    /// The region whose payments fail at `now_ms`, if any.
    pub fn incident_region(&self, now_ms: i64) -> Option<&'static str> {
        const REGIONS: [&str; 3] = ["华南", "华东", "西南"];
        let t = now_ms - self.start_ms - INCIDENT_OFFSET_MS;
        if t < 0 || t % INCIDENT_CYCLE_MS >= INCIDENT_MS {
            return None;
        }
        let cycle = usize::try_from(t / INCIDENT_CYCLE_MS).unwrap_or(0);
        Some(REGIONS[cycle % REGIONS.len()])
    }

    fn delay_ms(&mut self) -> i64 {
        if self.rng.random_ratio(1, 1_000) {
            return self.rng.random_range(VERY_LATE_MS);
        }
        self.rng.random_range(ORDINARY_DELAY_MS)
    }

    /// What broken clients send.
    fn malformed(&mut self, id: &str) -> String {
        match self.rng.random_range(0..3) {
            0 => format!("{{\"order_id\":\"{id}\",\"amount\":"),
            1 => format!("order {id} paid"),
            _ => format!("{{\"order_id\":\"{id}\",\"amount\":\"twelve\",\"order_time\":\"soon\"}}"),
        }
    }

    fn province(&mut self) -> &'static Province {
        let mut at = self.rng.random_range(0..self.province_weights);
        for province in &PROVINCES {
            if at < province.weight {
                return province;
            }
            at -= province.weight;
        }
        &PROVINCES[0]
    }

    /// An index below `len` (at least 1), the first ones more often.
    fn skewed(&mut self, len: usize) -> usize {
        let a = self.rng.random_range(0..len);
        let b = self.rng.random_range(0..len);
        a.min(b)
    }
}

fn pick<'a, T>(rng: &mut StdRng, of: &'a [T], weight: impl Fn(&T) -> u32) -> &'a T {
    let mut at = rng.random_range(0..of.iter().map(&weight).sum::<u32>());
    for item in of {
        if at < weight(item) {
            return item;
        }
        at -= weight(item);
    }
    &of[0]
}

fn iso_8601(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms).map_or_else(String::new, |t| {
        t.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thousand_orders() -> Vec<OrderRecord> {
        let mut generator = OrderGenerator::new(7, 1_700_000_000_000);
        (0..10_000)
            .map(|i| generator.next(1_700_000_000_000 + i))
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_orders() {
        assert_eq!(thousand_orders(), thousand_orders());
    }

    #[test]
    fn a_few_orders_are_malformed_and_the_rest_are_whole() {
        let orders = thousand_orders();
        let whole = orders
            .iter()
            .filter_map(|o| serde_json::from_str::<serde_json::Value>(&o.value).ok())
            .filter(|v| v["amount"].is_number() && v["province"].is_string())
            .count();
        assert!((9_900..10_000).contains(&whole), "{whole}");
    }

    #[test]
    fn an_incident_makes_one_region_fail() {
        let generator = OrderGenerator::new(7, 0);
        assert_eq!(generator.incident_region(INCIDENT_OFFSET_MS - 1), None);
        assert_eq!(generator.incident_region(INCIDENT_OFFSET_MS), Some("华南"));
        assert_eq!(
            generator.incident_region(INCIDENT_OFFSET_MS + INCIDENT_MS),
            None
        );
        assert_eq!(
            generator.incident_region(INCIDENT_OFFSET_MS + INCIDENT_CYCLE_MS),
            Some("华东")
        );
    }
}
