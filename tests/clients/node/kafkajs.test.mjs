// kafkajs, both majors, against a running broker: KAFKAJS names the package.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { after, before, describe, it } from 'node:test'
import { bootstrap, name, numbers, waitUntil } from './broker.mjs'

const require = createRequire(import.meta.url)
const { Kafka, CompressionCodecs, CompressionTypes, ConfigResourceTypes, logLevel } = require(process.env.KAFKAJS ?? 'kafkajs')
const snappy = require('snappy')
const lz4 = require('lz4-napi')
const zstd = require('@bokuweb/zstd-wasm')

// It brings gzip; the others are plugged in.
const codec = (compress, decompress) => () => ({ compress: async ({ buffer }) => compress(buffer), decompress })
CompressionCodecs[CompressionTypes.Snappy] = codec(snappy.compress, async buffer => snappy.uncompress(buffer))
CompressionCodecs[CompressionTypes.LZ4] = codec(lz4.compressFrame, async buffer => lz4.decompressFrame(buffer))
CompressionCodecs[CompressionTypes.ZSTD] = codec(
  async buffer => Buffer.from(zstd.compress(buffer, 3)), async buffer => Buffer.from(zstd.decompress(buffer)))

const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING })
const admin = kafka.admin()
const opened = []

before(async () => { await zstd.init(); await admin.connect() })
after(async () => { for (const client of opened.reverse()) await client.disconnect(); await admin.disconnect() })

async function topic (what, numPartitions = 1, configs = {}) {
  const topic = name(what)
  const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
  assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor: 1, configEntries }], waitForLeaders: false }), true)
  // Kafka's controller answers before the broker leads every partition, and a batch sent again is stored again.
  await waitUntil(`topic ${topic}`, () => admin.fetchTopicOffsets(topic).then(found => found.length === numPartitions, () => false))
  return topic
}

async function producer (settings = {}) {
  const made = kafka.producer({ allowAutoTopicCreation: false, ...settings })
  await made.connect()
  opened.push(made)
  return made
}

const values = (from, to) => numbers(from, to).map(i => ({ value: `v${i}`, timestamp: String(1_000_000 + i) }))

async function fill (topic, from, to, partitions = 1) {
  const messages = values(from, to).map((message, i) => ({ ...message, partition: (from + i) % partitions }))
  await (await producer()).send({ topic, acks: -1, messages })
}

/** A consumer that gathers what it reads; `ready` may seek before it runs. */
async function consume (topic, { groupId = name('reader'), ready = () => {}, ...settings } = {}) {
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 50, heartbeatInterval: 300, sessionTimeout: 10_000, ...settings })
  const read = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({ eachMessage: async ({ partition, message }) => { read.push({ partition, ...message }) } })
  ready(consumer)
  return { consumer, read }
}

async function readAll (topic, n, settings) {
  const { consumer, read } = await consume(topic, settings)
  await waitUntil(`${n} messages of ${topic}`, () => read.length >= n)
  await consumer.disconnect()
  assert.equal(read.length, n)
  return read.sort((a, b) => a.partition - b.partition || Number(a.offset) - Number(b.offset))
}

const text = messages => messages.map(message => message.value?.toString())

describe('kafkajs', { timeout: 120_000 }, () => {
  for (const codec of ['None', 'GZIP', 'Snappy', 'LZ4', 'ZSTD']) {
    it(`every codec round trips keys, values, headers and nulls [${codec.toLowerCase()}]`, async () => {
      const topicName = await topic('codec')
      // A header that comes twice is the second major's.
      const repeated = process.env.KAFKAJS === 'kafkajs-1' ? 'a1' : ['a1', 'a2']
      const large = 'abcdefghij'.repeat(5000)
      await (await producer()).send({
        topic: topicName, acks: -1, compression: CompressionTypes[codec],
        messages: [
          { key: 'key', value: large, timestamp: '1700000000123', headers: { trace: repeated, empty: '' } },
          { key: 'no value', value: null }, { value: '订单' }, ...values(0, 200)],
      })
      const read = await readAll(topicName, 203)
      assert.equal(read[0].value.toString(), large)
      assert.equal(read[0].timestamp, '1700000000123')
      assert.deepEqual([read[0].headers.trace].flat().map(String), [repeated].flat())
      assert.equal(read[0].headers.empty.toString(), '')
      assert.deepEqual([read[1].key.toString(), read[1].value], ['no value', null])
      assert.deepEqual([read[2].key, read[2].value.toString()], [null, '订单'])
      assert.deepEqual(text(read.slice(3)), numbers(0, 200).map(i => `v${i}`))
    })
  }

  it('acks of the leader and of nobody are stored too', async () => {
    for (const acks of [1, 0]) {
      const topicName = await topic('acks')
      await (await producer()).send({ topic: topicName, acks, messages: values(0, 100) })
      assert.deepEqual(text(await readAll(topicName, 100)), numbers(0, 100).map(i => `v${i}`))
    }
  })

  it('a consumer starts at an offset and at a time', async () => {
    const topicName = await topic('positions')
    await fill(topicName, 0, 100)
    const at = offset => ({ ready: consumer => consumer.seek({ topic: topicName, partition: 0, offset }) })
    assert.equal((await readAll(topicName, 40, at('60')))[0].offset, '60')
    const found = await admin.fetchTopicOffsetsByTimestamp(topicName, 1_000_042)
    assert.deepEqual(found, [{ partition: 0, offset: '42' }])
    assert.equal((await readAll(topicName, 58, at(found[0].offset)))[0].timestamp, '1000042')
  })

  it('a message just below the limit is stored and one above is refused', async () => {
    const topicName = await topic('limit', 1, { 'max.message.bytes': '100000' })
    const sender = await producer({ retry: { retries: 0 } })
    const send = n => sender.send({ topic: topicName, acks: -1, messages: [{ value: Buffer.alloc(n) }] })
    await send(99_900)
    await assert.rejects(send(100_001), /larger than the max|MESSAGE_TOO_LARGE/)
    await send(5)
    assert.deepEqual((await readAll(topicName, 2)).map(m => m.value.length), [99_900, 5])
  })

  it('two hundred partitions are written and read', async () => {
    const topicName = await topic('wide', 200)
    await fill(topicName, 0, 1000, 200)
    const read = await readAll(topicName, 1000)
    assert.deepEqual(read.map(m => [m.partition, m.offset]), numbers(0, 1000).map(i => [Math.floor(i / 5), String(i % 5)]))
  })

  it('an idempotent producer keeps the order', async () => {
    const topicName = await topic('idempotent')
    const sender = await producer({ idempotent: true, maxInFlightRequests: 1 })
    for (let from = 0; from < 500; from += 50) await sender.send({ topic: topicName, messages: values(from, from + 50) })
    assert.deepEqual(text(await readAll(topicName, 500)), numbers(0, 500).map(i => `v${i}`))
  })

  it('read committed sees committed records and never aborted ones', async () => {
    const topicName = await topic('txn')
    const sender = await producer({ idempotent: true, maxInFlightRequests: 1, transactionalId: name('txn-id') })
    for (const round of numbers(0, 6)) {
      const transaction = await sender.transaction()
      const kind = round % 2 === 0 ? 'commit' : 'abort'
      await transaction.send({ topic: topicName, messages: numbers(0, 30).map(i => ({ value: `${kind}-${round}-${i}` })) })
      await transaction[kind]()
    }
    const committed = text(await readAll(topicName, 90, { readUncommitted: false }))
    assert.ok(committed.every(value => value.startsWith('commit-')), committed.join())
    assert.equal(new Set(committed).size, 90)
    await readAll(topicName, 180, { readUncommitted: true })
  })

  it('offsets sent to a transaction appear with its commit and not with its abort', async () => {
    const source = await topic('in'); const target = await topic('out'); const group = name('copy')
    const sender = await producer({ idempotent: true, maxInFlightRequests: 1, transactionalId: name('copier') })
    for (const [offset, end, expected] of [['4', 'abort', '-1'], ['10', 'commit', '10']]) {
      const transaction = await sender.transaction()
      await transaction.send({ topic: target, messages: [{ value: offset }] })
      await transaction.sendOffsets({ consumerGroupId: group, topics: [{ topic: source, partitions: [{ partition: 0, offset }] }] })
      await transaction[end]()
      await waitUntil(`offset ${expected}`, async () => await committed(group, source) === expected)
    }
    assert.deepEqual(text(await readAll(target, 1)), ['10'])
  })

  // The second major answers by topic, and may be asked for several.
  async function committed (groupId, topicName) {
    const found = admin.fetchTopicMetadata && process.env.KAFKAJS === 'kafkajs-1'
      ? await admin.fetchOffsets({ groupId, topic: topicName })
      : (await admin.fetchOffsets({ groupId, topics: [topicName] }))[0].partitions
    return String(found.reduce((sum, p) => sum + Number(p.offset), 0))
  }

  it('a second member shares the partitions and the first takes them back when it leaves', async () => {
    const topicName = await topic('shared', 4); const groupId = name('two')
    await fill(topicName, 0, 100, 4)
    const settings = { groupId, rebalanceTimeout: 5_000 }
    const first = await consume(topicName, settings)
    await waitUntil('the first reads all', () => first.read.length === 100)
    const second = await consume(topicName, settings)
    const members = async () => (await admin.describeGroups([groupId])).groups[0]
    await waitUntil('two members', async () => { const g = await members(); return g.state === 'Stable' && g.members.length === 2 })
    await fill(topicName, 100, 200, 4)
    await waitUntil('both read', () => new Set([...text(first.read), ...text(second.read)]).size === 200 && second.read.length >= 50)
    await second.consumer.disconnect()
    await waitUntil('one member', async () => { const g = await members(); return g.state === 'Stable' && g.members.length === 1 })
    await fill(topicName, 200, 300, 4)
    await waitUntil('the first reads the rest', () => new Set([...text(first.read), ...text(second.read)]).size === 300)
    await first.consumer.disconnect()
    assert.equal(await committed(groupId, topicName), '300')
  })

  it('a consumer resumes at the committed offset', async () => {
    const topicName = await topic('resume'); const groupId = name('resume')
    await fill(topicName, 0, 20)
    await admin.setOffsets({ groupId, topic: topicName, partitions: [{ partition: 0, offset: '12' }] })
    assert.deepEqual(text(await readAll(topicName, 8, { groupId })), numbers(12, 20).map(i => `v${i}`))
    assert.equal(await committed(groupId, topicName), '20')
  })

  it('a topic is created, listed and deleted', async () => {
    const topicName = await topic('life', 3)
    assert.ok((await admin.listTopics()).includes(topicName))
    assert.equal(await admin.createTopics({ topics: [{ topic: topicName }] }), false, 'it is there already')
    await admin.deleteTopics({ topics: [topicName] })
    await waitUntil('gone from the list', async () => !(await admin.listTopics()).includes(topicName))
  })

  it('topic settings can be read', async () => {
    const topicName = await topic('configured', 1, { 'retention.ms': '3600000' })
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topicName, configNames: ['retention.ms'] }]
    // Kafka's view of settings may come later than that of partitions.
    const described = await waitUntil('the settings', () => admin.describeConfigs({ resources }).catch(() => null))
    assert.deepEqual(described.resources[0].configEntries.map(e => [e.configName, e.configValue]), [['retention.ms', '3600000']])
  })

  it('partitions can be added and records deleted', async () => {
    const topicName = await topic('growing', 2)
    await admin.createPartitions({ topicPartitions: [{ topic: topicName, count: 5 }] })
    await waitUntil('five', async () => (await admin.fetchTopicMetadata({ topics: [topicName] })).topics[0].partitions.length === 5)
    const purged = await topic('purged')
    await fill(purged, 0, 100)
    await admin.deleteTopicRecords({ topic: purged, partitions: [{ partition: 0, offset: '60' }] })
    const offsets = await admin.fetchTopicOffsets(purged)
    assert.deepEqual(offsets.map(o => [o.low, o.high]), [['60', '100']])
  })

  it('a group is listed, described and deleted only when empty', async () => {
    const topicName = await topic('described'); const groupId = name('described')
    await fill(topicName, 0, 10)
    const member = await consume(topicName, { groupId })
    await waitUntil('it reads', () => member.read.length === 10)
    assert.ok((await admin.listGroups()).groups.some(group => group.groupId === groupId))
    await assert.rejects(admin.deleteGroups([groupId]), error => error.groups[0].errorCode === 68)
    await member.consumer.disconnect()
    assert.equal((await admin.describeGroups([groupId])).groups[0].state, 'Empty')
    await admin.deleteGroups([groupId])
  })
})
