//! What the demo's shop sells.

/// A product with its list price.
pub struct Product {
    /// Name.
    pub name: &'static str,
    /// Category.
    pub category: &'static str,
    /// Price in fen (1/100 CNY).
    pub price_fen: i64,
    /// Relative share of orders.
    pub weight: u32,
}

const fn product(
    name: &'static str,
    category: &'static str,
    price_fen: i64,
    weight: u32,
) -> Product {
    Product {
        name,
        category,
        price_fen,
        weight,
    }
}

/// The catalogue.
pub const PRODUCTS: [Product; 24] = [
    product("扫地机器人", "家电", 279_900, 6),
    product("蓝牙耳机", "数码", 89_900, 18),
    product("羽绒服", "服饰", 128_000, 12),
    product("咖啡机", "家电", 239_900, 5),
    product("护肤套装", "美妆", 168_000, 14),
    product("跑步鞋", "运动", 76_900, 16),
    product("机械键盘", "数码", 109_900, 9),
    product("电动牙刷", "个护", 32_900, 15),
    product("行李箱", "箱包", 65_900, 8),
    product("儿童积木", "母婴", 54_900, 10),
    product("空气炸锅", "家电", 45_800, 11),
    product("保温杯", "家居", 16_900, 20),
    product("大米 10 kg", "食品", 8_990, 26),
    product("坚果礼盒", "食品", 15_800, 22),
    product("智能手表", "数码", 149_900, 9),
    product("手机壳", "数码", 4_900, 30),
    product("床上四件套", "家居", 39_900, 9),
    product("洗衣液", "个护", 5_990, 25),
    product("纸尿裤", "母婴", 18_900, 14),
    product("瑜伽垫", "运动", 12_900, 9),
    product("投影仪", "家电", 329_900, 3),
    product("口红", "美妆", 32_000, 13),
    product("平板电脑", "数码", 359_900, 4),
    product("茶叶礼盒", "食品", 29_800, 10),
];

/// Ways to pay and their relative shares.
pub const PAY_METHODS: [(&str, u32); 4] = [
    ("支付宝", 44),
    ("微信支付", 41),
    ("云闪付", 8),
    ("银行卡", 7),
];

/// Reasons for a failed payment and their relative shares.
pub const FAIL_REASONS: [(&str, u32); 5] = [
    ("余额不足", 37),
    ("银行通道超时", 28),
    ("风控拦截", 16),
    ("用户取消", 12),
    ("参数错误", 7),
];
