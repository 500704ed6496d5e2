// Invented shop data in an in-memory SQLite, so that any panel's SELECT answers.
// For development and tests of the console only; the product never sees it.
import initSqlJs from "sql.js";

const REGIONS = {
  华东: ["上海:上海", "江苏:苏州", "浙江:杭州", "安徽:合肥", "福建:福州", "江西:南昌", "山东:济南", "台湾:台北"],
  华南: ["广东:广州", "广东:深圳", "广西:南宁", "海南:海口", "香港:香港", "澳门:澳门"],
  华北: ["北京:北京", "天津:天津", "河北:石家庄", "山西:太原", "内蒙古:呼和浩特"],
  华中: ["河南:郑州", "湖北:武汉", "湖南:长沙"],
  西南: ["重庆:重庆", "四川:成都", "贵州:贵阳", "云南:昆明", "西藏:拉萨"],
  西北: ["陕西:西安", "甘肃:兰州", "青海:西宁", "宁夏:银川", "新疆:乌鲁木齐"],
  东北: ["辽宁:沈阳", "吉林:长春", "黑龙江:哈尔滨"],
};
const WEIGHTS = { 华东: 38, 华南: 24, 华北: 14, 华中: 9, 西南: 8, 西北: 4, 东北: 3 };
const PRODUCTS = ["扫地机器人", "蓝牙耳机", "羽绒服", "咖啡机", "护肤套装", "跑步鞋", "机械键盘", "电动牙刷", "行李箱", "儿童积木", "空气炸锅"];
const PAY = ["支付宝", "微信支付", "云闪付", "银行卡"];
const REASONS = ["余额不足", "银行通道超时", "风控拦截", "用户取消", "参数错误"];

const pick = (list) => list[Math.floor(Math.random() ** 1.4 * list.length)];
const sqlTime = (ms) => new Date(ms).toISOString().replace("T", " ").slice(0, 23);

function region() {
  let left = Math.random() * 100;
  for (const [name, weight] of Object.entries(WEIGHTS)) if ((left -= weight) <= 0) return name;
  return "华东";
}

export class Shop {
  static async open() {
    const SQL = await initSqlJs();
    return new Shop(new SQL.Database());
  }

  constructor(db) {
    this.db = db;
    this.serial = 71_000_000;
    this.messages = new Map();
    this.listeners = new Set();
    this.version = 0;
    this.open = [];
    db.run(`
      CREATE TABLE orders (order_id STRING, user_id BIGINT, province STRING, city STRING, region STRING, product STRING, quantity INT, amount REAL, pay_method STRING, status STRING, fail_reason STRING, order_time STRING);
      CREATE TABLE live_orders (order_id STRING, order_time STRING, province STRING, city STRING, product STRING, quantity INT, amount REAL, pay_method STRING, status STRING);
      CREATE TABLE orders_by_region_5s (window_start STRING, window_end STRING, region STRING, orders BIGINT, revenue REAL, avg_amount REAL);
      CREATE TABLE sales_1s (window_start STRING, window_end STRING, orders BIGINT, paid BIGINT, failed BIGINT, revenue REAL);
      CREATE TABLE sales_by_province_10s (window_start STRING, window_end STRING, province STRING, orders BIGINT, revenue REAL);
      CREATE TABLE payment_failures_5s (window_start STRING, window_end STRING, region STRING, fail_reason STRING, failures BIGINT);
      CREATE TABLE payment_alerts (window_start STRING, window_end STRING, region STRING, attempts BIGINT, failures BIGINT, failure_rate REAL);
    `);
    const now = Math.floor(Date.now() / 1000) * 1000;
    // Ten minutes of past, thinner than the live stream so that start-up is quick.
    for (let at = now - 600_000; at < now; at += 1_000) this.second(at, 44, 5);
  }

  order(at) {
    const where = region();
    const [province, city] = pick(REGIONS[where]).split(":");
    const failed = Math.random() < 0.055;
    const order = {
      order_id: `o-${this.serial++}`,
      user_id: 100_000 + Math.floor(Math.random() * 900_000),
      province, city, region: where,
      product: PRODUCTS[Math.floor(Math.random() * PRODUCTS.length)],
      quantity: 1 + Math.floor(Math.random() ** 3 * 4),
      amount: Math.round((30 + Math.random() ** 3 * 9_000) * 100) / 100,
      pay_method: pick(PAY),
      status: failed ? "failed" : "paid",
      fail_reason: failed ? pick(REASONS) : null,
      order_time: new Date(at).toISOString(),
    };
    return order;
  }

  second(start, count, weight = 1) {
    const orders = Array.from({ length: count }, () => this.order(start + Math.floor(Math.random() * 1000)));
    for (const order of orders) this.take(order, weight);
    this.windows(start, orders, weight);
    return orders;
  }

  take(order) {
    const time = sqlTime(Date.parse(order.order_time));
    this.db.run("INSERT INTO live_orders VALUES (?,?,?,?,?,?,?,?,?)", [order.order_id, time, order.province, order.city, order.product, order.quantity, order.amount, order.pay_method, order.status]);
    this.db.run("INSERT INTO orders VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", [order.order_id, order.user_id, order.province, order.city, order.region, order.product, order.quantity, order.amount, order.pay_method, order.status, order.fail_reason, time]);
    const partition = this.serial % 4;
    this.append("orders", partition, order.order_id, JSON.stringify({ ...order, items: [{ sku: "RB-3390", name: order.product, qty: order.quantity }] }), Date.parse(order.order_time));
    this.append("live_orders", partition, null, JSON.stringify({ order_time: time, city: order.city, product: order.product, amount: order.amount }), Date.parse(order.order_time));
    this.version += 1;
  }

  windows(start, orders, weight) {
    const paid = orders.filter((o) => o.status === "paid");
    const sum = (list) => Math.round(list.reduce((all, o) => all + o.amount, 0) * weight * 100) / 100;
    const upsert = (table, span, keys, row) => {
      const opened = Math.floor(start / span) * span;
      // A window is written once, when it closes.
      this.open.push({ closes: opened + span, write: () => write(opened, table, span, keys, row) });
    };
    const write = (opened, table, span, keys, row) => {
      const from = sqlTime(opened);
      const to = sqlTime(opened + span);
      const where = ["window_start = ?", ...keys.map(([name]) => `${name} = ?`)].join(" AND ");
      const found = this.db.exec(`SELECT rowid FROM ${table} WHERE ${where}`, [from, ...keys.map(([, value]) => value)]);
      const columns = Object.keys(row);
      if (found.length > 0) this.db.run(`UPDATE ${table} SET ${columns.map((c) => `${c} = ${c} + ?`).join(", ")} WHERE rowid = ${found[0].values[0][0]}`, Object.values(row));
      else this.db.run(`INSERT INTO ${table} (window_start, window_end, ${[...keys.map(([name]) => name), ...columns].join(", ")}) VALUES (${["?", "?", ...keys.map(() => "?"), ...columns.map(() => "?")].join(", ")})`, [from, to, ...keys.map(([, value]) => value), ...Object.values(row)]);
    };
    const group = (list, key) => {
      const groups = new Map();
      for (const order of list) groups.set(order[key], [...(groups.get(order[key]) ?? []), order]);
      return groups;
    };
    const due = this.open.filter((w) => w.closes <= start);
    this.open = this.open.filter((w) => w.closes > start);
    for (const window of due) window.write();
    upsert("sales_1s", 1_000, [], { orders: orders.length * weight, paid: paid.length * weight, failed: (orders.length - paid.length) * weight, revenue: sum(paid) });
    for (const [name, list] of group(paid, "region")) upsert("orders_by_region_5s", 5_000, [["region", name]], { orders: list.length * weight, revenue: sum(list) });
    for (const [name, list] of group(paid, "province")) upsert("sales_by_province_10s", 10_000, [["province", name]], { orders: list.length * weight, revenue: sum(list) });
    const failed = orders.filter((o) => o.status === "failed");
    for (const [name, list] of group(failed, "region")) {
      for (const [reason, some] of group(list, "fail_reason")) upsert("payment_failures_5s", 5_000, [["region", name], ["fail_reason", reason]], { failures: some.length * weight });
      const attempts = orders.filter((o) => o.region === name).length;
      if (attempts >= 8 && list.length / attempts > 0.2) this.db.run("INSERT INTO payment_alerts VALUES (?,?,?,?,?,?)", [sqlTime(start), sqlTime(start + 5_000), name, attempts, list.length, list.length / attempts]);
    }
  }

  append(topic, partition, key, value, timestamp) {
    const log = this.messages.get(topic) ?? { next: [88_411_000, 88_399_000, 88_420_000, 88_405_000], list: [] };
    this.messages.set(topic, log);
    const message = {
      partition, offset: log.next[partition]++, timestamp_ms: timestamp,
      key, key_encoding: key === null ? "null" : "text", value, value_encoding: value === null ? "null" : value.startsWith("{") ? "json" : "text",
      value_bytes: value === null ? 0 : Buffer.byteLength(value), key_bytes: key ? Buffer.byteLength(key) : 0,
      cut: false,
      headers: [["trace", Math.random().toString(16).slice(2)], ["source", "checkout-api-3"]].map(([key, value]) => ({ key, value, encoding: "text", value_bytes: value.length })),
      headers_count: 2,
    };
    log.list.push(message);
    if (log.list.length > 5_000) log.list.splice(0, 1_000);
    for (const listener of this.listeners) listener(topic, message);
    return message;
  }

  query(sql) {
    const started = performance.now();
    const out = this.db.exec(sql.replace(/\bAS DOUBLE\b/gi, "AS REAL").replace(/;\s*$/, ""));
    const last = out.at(-1);
    if (!last) return { columns: [{ name: "result", type: "STRING" }], rows: [["OK"]], truncated: false, elapsed_ms: 1 };
    const typeOf = (name, i) => {
      if (/^window_(start|end)$/.test(name)) return "TIMESTAMP(3)";
      if (name === "order_time") return "TIMESTAMP_LTZ(3)";
      if (/^(revenue|amount|avg_amount)$/.test(name)) return "DECIMAL(12, 2)";
      const value = last.values.find((row) => row[i] !== null)?.[i];
      return typeof value === "number" ? (Number.isInteger(value) ? "BIGINT" : "DOUBLE") : "STRING";
    };
    const columns = last.columns.map((name, i) => ({ name, type: typeOf(name, i) }));
    const rows = last.values.slice(0, 10_000).map((row) => row.map((cell, i) => (cell !== null && columns[i].type.startsWith("DECIMAL") ? Number(cell).toFixed(2) : cell)));
    return { columns, rows, truncated: last.values.length > 10_000, elapsed_ms: Math.round((performance.now() - started) * 100) / 100 };
  }
}
