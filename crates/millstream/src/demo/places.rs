//! Provinces, cities and regions of China, with the share of orders that
//! each gets in the demo. The shares are invented; the names are not.

/// A province-level division and its cities.
pub struct Province {
    /// Short name, as on the tile map.
    pub name: &'static str,
    /// One of the seven sales regions that Chinese retailers use, plus
    /// 港澳台.
    pub region: &'static str,
    /// Cities that orders come from, the largest first.
    pub cities: &'static [&'static str],
    /// Relative share of orders.
    pub weight: u32,
}

const fn province(
    name: &'static str,
    region: &'static str,
    weight: u32,
    cities: &'static [&'static str],
) -> Province {
    Province {
        name,
        region,
        cities,
        weight,
    }
}

/// All 34 province-level divisions.
pub const PROVINCES: [Province; 34] = [
    province(
        "广东",
        "华南",
        126,
        &["广州", "深圳", "东莞", "佛山", "珠海", "惠州"],
    ),
    province(
        "浙江",
        "华东",
        118,
        &["杭州", "宁波", "温州", "金华", "绍兴"],
    ),
    province(
        "江苏",
        "华东",
        109,
        &["苏州", "南京", "无锡", "常州", "徐州"],
    ),
    province("上海", "华东", 72, &["上海"]),
    province("山东", "华东", 65, &["济南", "青岛", "烟台", "潍坊"]),
    province("北京", "华北", 62, &["北京"]),
    province("四川", "西南", 54, &["成都", "绵阳", "德阳", "宜宾"]),
    province("福建", "华东", 44, &["福州", "厦门", "泉州"]),
    province("河南", "华中", 41, &["郑州", "洛阳", "南阳"]),
    province("湖北", "华中", 39, &["武汉", "宜昌", "襄阳"]),
    province("湖南", "华中", 33, &["长沙", "株洲", "衡阳"]),
    province("安徽", "华东", 29, &["合肥", "芜湖", "阜阳"]),
    province("河北", "华北", 27, &["石家庄", "唐山", "保定"]),
    province("重庆", "西南", 24, &["重庆"]),
    province("江西", "华东", 19, &["南昌", "赣州"]),
    province("陕西", "西北", 19, &["西安", "咸阳"]),
    province("辽宁", "东北", 17, &["沈阳", "大连"]),
    province("天津", "华北", 14, &["天津"]),
    province("广西", "华南", 14, &["南宁", "柳州", "桂林"]),
    province("云南", "西南", 13, &["昆明", "大理"]),
    province("贵州", "西南", 10, &["贵阳", "遵义"]),
    province("山西", "华北", 10, &["太原", "大同"]),
    province("黑龙江", "东北", 9, &["哈尔滨", "大庆"]),
    province("吉林", "东北", 8, &["长春", "吉林"]),
    province("内蒙古", "华北", 7, &["呼和浩特", "包头"]),
    province("新疆", "西北", 6, &["乌鲁木齐", "喀什"]),
    province("台湾", "港澳台", 5, &["台北", "高雄"]),
    province("香港", "港澳台", 6, &["香港"]),
    province("甘肃", "西北", 5, &["兰州", "天水"]),
    province("海南", "华南", 5, &["海口", "三亚"]),
    province("宁夏", "西北", 2, &["银川"]),
    province("青海", "西北", 2, &["西宁"]),
    province("西藏", "西南", 1, &["拉萨"]),
    province("澳门", "港澳台", 1, &["澳门"]),
];
