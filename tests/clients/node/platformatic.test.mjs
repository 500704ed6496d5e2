// @platformatic/kafka against a running broker. It speaks only the newer versions: Produce 7 on, Fetch 12 on, topics by id.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { after, before, describe, it } from 'node:test'
import {
  Admin, ConfigResourceTypes, Consumer, FetchIsolationLevels, IncrementalAlterConfigOperationTypes, ProduceAcks, Producer,
  compressionsAlgorithms
} from '@platformatic/kafka'
import { bootstrap, name, numbers, waitUntil } from './broker.mjs'

const zstd = createRequire(import.meta.url)('@bokuweb/zstd-wasm')
// It takes zstd from Node itself, which has it from 22.15 on. What it hands over is a Buffer or its own list of them.
const bytes = data => Buffer.isBuffer(data) ? data : data.buffer
Object.assign(compressionsAlgorithms.zstd, {
  compressSync: data => Buffer.from(zstd.compress(bytes(data), 3)),
  decompressSync: data => Buffer.from(zstd.decompress(bytes(data))),
  available: true
})

const client = { clientId: 'tests', bootstrapBrokers: [bootstrap], metadataMaxAge: 500, retryDelay: 100 }
const admin = new Admin(client)
const opened = []

before(() => zstd.init())
after(async () => {
  const closed = Promise.allSettled([...opened.map(client => client.close(true)), admin.close()])
  let late
  await Promise.race([closed, new Promise(resolve => { late = setTimeout(resolve, 5_000) })])
  clearTimeout(late)
  // A member that closes with a heartbeat on its way connects again, and its connection would keep Node up.
  // By then every result has been told; with Node's own code, which is 1 while it still waits, the file would fail.
  setTimeout(() => process.exit(0), 1_000).unref()
})

async function topic (what, partitions = 1, configs = {}) {
  const topic = name(what)
  const entries = Object.entries(configs).map(([name, value]) => ({ name, value }))
  const [made] = await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs: entries })
  assert.deepEqual([made.name, made.partitions, made.replicas], [topic, partitions, 1])
  assert.match(made.id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  // Kafka's controller answers before the broker leads every partition.
  await waitUntil(`topic ${topic}`, () => listOffsets(topic, -1n, partitions).then(() => true, () => false))
  return topic
}

/** The offsets of each partition: -1n is the end, -2n the start, others are times. */
async function listOffsets (name, timestamp, partitions = 1) {
  const asked = numbers(0, partitions).map(partitionIndex => ({ partitionIndex, timestamp }))
  const [found] = await admin.listOffsets({ topics: [{ name, partitions: asked }] })
  return found.partitions.sort((a, b) => a.partitionIndex - b.partitionIndex).map(p => p.offset)
}

// Its acks are the leader's unless each send says otherwise.
function producer (settings = {}) {
  const made = new Producer({ ...client, ...settings })
  opened.push(made)
  return made
}

const messages = (topic, from, to, partitions = 1) => numbers(from, to).map(i =>
  ({ topic, partition: i % partitions, value: Buffer.from(`v${i}`), timestamp: BigInt(1_000_000 + i) }))

async function fill (topic, from, to, partitions = 1) {
  await producer().send({ messages: messages(topic, from, to, partitions) })
}

/** A consumer that gathers what it reads. */
async function consume (topic, { group = name('reader'), member = {}, ...stream } = {}) {
  const consumer = new Consumer({ ...client, groupId: group, maxWaitTime: 50, ...classic, ...member })
  opened.push(consumer)
  const read = []
  const opening = await consumer.consume({ topics: [topic], mode: 'committed', fallbackMode: 'earliest', ...stream })
  opening.on('data', message => read.push(message))
  return { consumer, read, stop: async () => { await opening.close(); await consumer.close(true) } }
}
const classic = { sessionTimeout: 10_000, rebalanceTimeout: 10_000, heartbeatInterval: 300 }

async function readAll (topic, n, settings) {
  const { read, stop } = await consume(topic, settings)
  await waitUntil(`${n} messages of ${topic}`, () => read.length >= n)
  await stop()
  assert.equal(read.length, n)
  return read.sort((a, b) => a.partition - b.partition || Number(a.offset - b.offset))
}

const text = messages => messages.map(message => message.value?.toString())

async function committed (group, topic, partitions = 1) {
  const topics = [{ name: topic, partitionIndexes: numbers(0, partitions) }]
  const [found] = await admin.listConsumerGroupOffsets({ groups: [{ groupId: group, topics }], requireStable: true })
  return found.topics[0].partitions.reduce((sum, p) => sum + Number(p.committedOffset), 0)
}

const refused = (id) => error => error.findBy('apiId', id) !== null

describe('@platformatic/kafka', { timeout: 180_000 }, () => {
  for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
    it(`every codec round trips keys, values, headers and nulls [${compression}]`, async () => {
      const topicName = await topic('codec')
      const large = 'abcdefghij'.repeat(5000)
      const partition = 0
      const sent = await producer().send({
        compression,
        messages: [
          { topic: topicName, partition, key: Buffer.from('key'), value: Buffer.from(large), timestamp: 1700000000123n,
            headers: new Map([[Buffer.from('trace'), Buffer.from('a1')], [Buffer.from('empty'), Buffer.alloc(0)]]) },
          { topic: topicName, partition, key: Buffer.from('no value'), value: null },
          { topic: topicName, partition, value: Buffer.from('订单') },
          // It writes a time before the batch's first one wrongly, so these have none.
          ...messages(topicName, 0, 200).map(({ timestamp, ...message }) => message)],
      })
      assert.deepEqual(sent.offsets, [{ topic: topicName, partition, offset: 0n }])
      const read = await readAll(topicName, 203)
      assert.equal(read[0].value.toString(), large)
      assert.equal(read[0].timestamp, 1700000000123n)
      assert.deepEqual([...read[0].headers].map(pair => pair.map(String)), [['trace', 'a1'], ['empty', '']])
      assert.deepEqual([read[1].key.toString(), read[1].value], ['no value', undefined])
      assert.deepEqual([read[2].key, read[2].value.toString()], [undefined, '订单'])
      assert.deepEqual(text(read.slice(3)), numbers(0, 200).map(i => `v${i}`))
    })
  }

  it('acks of the leader and of nobody are stored too', async () => {
    for (const acks of [ProduceAcks.LEADER, ProduceAcks.NO_RESPONSE]) {
      const topicName = await topic('acks')
      await producer().send({ acks, messages: messages(topicName, 0, 100) })
      assert.deepEqual(text(await readAll(topicName, 100)), numbers(0, 100).map(i => `v${i}`))
    }
  })

  it('a consumer starts at the start, at an offset, at a time and at the end', async () => {
    const topicName = await topic('positions')
    await fill(topicName, 0, 100)
    assert.equal((await readAll(topicName, 100, { mode: 'earliest', fallbackMode: undefined }))[0].offset, 0n)
    const at = offset => ({ mode: 'manual', offsets: [{ topic: topicName, partition: 0, offset }] })
    assert.equal((await readAll(topicName, 40, at(60n)))[0].offset, 60n)
    const [found] = await listOffsets(topicName, 1_000_042n)
    assert.equal(found, 42n)
    assert.equal((await readAll(topicName, 58, at(found)))[0].timestamp, 1_000_042n)
    const [after] = await listOffsets(topicName, 2_000_000n)
    assert.equal(after, -1n)
    const late = await consume(topicName, { mode: 'latest' })
    await fill(topicName, 100, 110)
    await waitUntil('what came later', () => late.read.length >= 10)
    assert.deepEqual(text(late.read), numbers(100, 110).map(i => `v${i}`))
    await late.stop()
  })

  it('a message just below the limit is stored and one above is refused', async () => {
    const topicName = await topic('limit', 1, { 'max.message.bytes': '100000' })
    const sender = producer({ retries: 0 })
    const send = n => sender.send({ messages: [{ topic: topicName, partition: 0, value: Buffer.alloc(n) }] })
    await send(99_900)
    await assert.rejects(send(100_001), refused('MESSAGE_TOO_LARGE'))
    await send(5)
    assert.deepEqual((await readAll(topicName, 2)).map(m => m.value.length), [99_900, 5])
  })

  it('two hundred partitions are written and read', async () => {
    const topicName = await topic('wide', 200)
    await fill(topicName, 0, 1000, 200)
    const read = await readAll(topicName, 1000)
    assert.deepEqual(read.map(m => [m.partition, m.offset]), numbers(0, 1000).map(i => [Math.floor(i / 5), BigInt(i % 5)]))
  })

  it('an idempotent producer keeps the order', async () => {
    const topicName = await topic('idempotent')
    const sender = producer({ idempotent: true })
    for (let from = 0; from < 500; from += 50) await sender.send({ messages: messages(topicName, from, from + 50) })
    assert.ok(sender.producerId >= 0n)
    assert.deepEqual(text(await readAll(topicName, 500)), numbers(0, 500).map(i => `v${i}`))
  })

  it('read committed sees committed records and never aborted ones', async () => {
    const topicName = await topic('txn')
    let sender
    for (const round of numbers(0, 6)) {
      // Of what a producer aborted it leaves out only the last transaction of an answer: a new one after each abort.
      if (round % 2 === 0) sender = producer({ idempotent: true, transactionalId: name('txn-id') })
      const transaction = await sender.beginTransaction()
      const kind = round % 2 === 0 ? 'commit' : 'abort'
      await transaction.send({ messages: numbers(0, 30).map(i =>
        ({ topic: topicName, partition: 0, value: Buffer.from(`${kind}-${round}-${i}`) })) })
      await transaction[kind]()
    }
    const seen = text(await readAll(topicName, 90, { isolationLevel: FetchIsolationLevels.READ_COMMITTED }))
    assert.ok(seen.every(value => value.startsWith('commit-')), seen.join())
    assert.equal(new Set(seen).size, 90)
    await readAll(topicName, 180, { isolationLevel: FetchIsolationLevels.READ_UNCOMMITTED })
  })

  it('offsets sent to a transaction appear with its commit and not with its abort', async () => {
    const source = await topic('in'); const target = await topic('out'); const group = name('copy')
    await fill(source, 0, 20)
    const reader = await consume(source, { group, autocommit: false })
    await waitUntil('it reads', () => reader.read.length === 20)
    const sender = producer({ idempotent: true, transactionalId: name('copier') })
    for (const [offset, end, expected] of [[3, 'abort', -1], [9, 'commit', 10]]) {
      const transaction = await sender.beginTransaction()
      await transaction.send({ messages: [{ topic: target, partition: 0, value: Buffer.from(`${offset}`) }] })
      await transaction.addConsumer(reader.consumer)
      await transaction.addOffset(reader.read[offset])
      await transaction[end]()
      await waitUntil(`offset ${expected}`, async () => await committed(group, source) === expected)
    }
    await reader.stop()
    assert.deepEqual(text(await readAll(target, 1)), ['9'])
  })

  for (const protocol of ['classic', 'consumer']) {
    it(`a second member shares the partitions and the first takes them back when it leaves [${protocol}]`, async () => {
      const topicName = await topic('shared', 4); const group = name('two')
      await fill(topicName, 0, 100, 4)
      const member = protocol === 'classic' ? {} : { groupProtocol: 'consumer' }
      const held = ({ consumer }) => (consumer.assignments ?? []).flatMap(a => a.topic === topicName ? a.partitions : [])
      const first = await consume(topicName, { group, member })
      await waitUntil('the first reads all', () => first.read.length === 100)
      const second = await consume(topicName, { group, member })
      await waitUntil('two each', () => held(first).length === 2 && held(second).length === 2)
      assert.deepEqual([...held(first), ...held(second)].sort(), [0, 1, 2, 3])
      await fill(topicName, 100, 200, 4)
      const all = () => new Set([...text(first.read), ...text(second.read)]).size
      await waitUntil('both read', () => all() === 200 && second.read.length >= 50)
      await second.stop()
      await waitUntil('the first has all', () => held(first).length === 4)
      await fill(topicName, 200, 300, 4)
      await waitUntil('the first reads the rest', () => all() === 300)
      await first.stop()
      assert.equal(await committed(group, topicName, 4), 300)
      const type = (await admin.listGroups({ types: [protocol] })).get(group)
      assert.equal(type?.groupType.toLowerCase(), protocol)
    })
  }

  it('a static member comes back without a rebalance', async () => {
    const topicName = await topic('static', 2); const group = name('static')
    const member = { groupInstanceId: name('instance') }
    // It leaves its instance id out of commits: one that was replaced is told UNKNOWN_MEMBER_ID, and takes its place back.
    const settings = { group, member, autocommit: false }
    const first = await consume(topicName, settings)
    const generation = first.consumer.generationId
    const twin = await consume(topicName, settings)
    assert.equal(twin.consumer.generationId, generation)
    assert.notEqual(twin.consumer.memberId, first.consumer.memberId)
    await fill(topicName, 0, 20, 2)
    await waitUntil('the one that came back reads', () => twin.read.length === 20)
    assert.deepEqual([...(await admin.describeGroups({ groups: [group] })).get(group).members.values()].map(m => m.groupInstanceId),
      [member.groupInstanceId])
    await twin.stop()
  })

  it('a consumer resumes at the committed offset', async () => {
    const topicName = await topic('resume'); const group = name('resume')
    await fill(topicName, 0, 20)
    const first = await consume(topicName, { group, autocommit: false })
    await waitUntil('it reads', () => first.read.length === 20)
    await first.consumer.commit({ offsets: [{ topic: topicName, partition: 0, offset: 12n, leaderEpoch: 0 }] })
    await first.stop()
    assert.deepEqual(text(await readAll(topicName, 8, { group })), numbers(12, 20).map(i => `v${i}`))
    assert.equal(await committed(group, topicName), 20)
    const topics = partitions => ({ groupId: group, topics: [{ name: topicName, ...partitions }] })
    await admin.alterConsumerGroupOffsets(topics({ partitionOffsets: [{ partition: 0, offset: 5n }] }))
    assert.deepEqual(text(await readAll(topicName, 15, { group, autocommit: false })), numbers(5, 20).map(i => `v${i}`))
    await admin.deleteConsumerGroupOffsets(topics({ partitionIndexes: [0] }))
    assert.equal(await committed(group, topicName), -1)
  })

  it('a topic is created, listed and deleted', async () => {
    const topicName = await topic('life', 3)
    assert.ok((await admin.listTopics()).includes(topicName))
    await assert.rejects(admin.createTopics({ topics: [topicName] }), refused('TOPIC_ALREADY_EXISTS'))
    await admin.deleteTopics({ topics: [topicName] })
    await waitUntil('gone from the list', async () => !(await admin.listTopics()).includes(topicName))
    await assert.rejects(admin.deleteTopics({ topics: [topicName] }), refused('UNKNOWN_TOPIC_OR_PARTITION'))
  })

  it('topic settings can be read and altered one by one', async () => {
    const topicName = await topic('configured', 1, { 'retention.ms': '3600000', 'segment.ms': '7200000' })
    const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: topicName }
    const read = async () => {
      const asked = [{ ...resource, configurationKeys: ['retention.ms', 'segment.ms'] }]
      const [described] = await admin.describeConfigs({ resources: asked }).catch(() => [{ configs: [] }])
      return Object.fromEntries(described.configs.map(c => [c.name, c.value]))
    }
    // Kafka's view of settings may come later than that of partitions.
    await waitUntil('the settings', async () => (await read())['retention.ms'] === '3600000')
    const { SET } = IncrementalAlterConfigOperationTypes
    const alter = (name, value) => admin.incrementalAlterConfigs({ resources: [{ ...resource, configs: [{ name, value, configOperation: SET }] }] })
    await alter('retention.ms', '1800000')
    await waitUntil('the change', async () => (await read())['retention.ms'] === '1800000')
    assert.equal((await read())['segment.ms'], '7200000')
    await assert.rejects(alter('retention.ms', 'soon'), refused('INVALID_CONFIG'))
  })

  it('partitions can be added and records deleted', async () => {
    const topicName = await topic('growing', 2)
    await admin.createPartitions({ topics: [{ name: topicName, count: 5, assignments: null }] })
    const count = async () => (await admin.metadata({ topics: [topicName], forceUpdate: true })).topics.get(topicName).partitionsCount
    await waitUntil('five', async () => await count() === 5)
    await assert.rejects(admin.createPartitions({ topics: [{ name: topicName, count: 3, assignments: null }] }), refused('INVALID_PARTITIONS'))
    const purged = await topic('purged')
    await fill(purged, 0, 100)
    const deleted = await admin.deleteRecords({ topics: [{ name: purged, partitions: [{ partition: 0, offset: 60n }] }] })
    assert.deepEqual(deleted, [{ name: purged, partitions: [{ partition: 0, lowWatermark: 60n }] }])
    assert.deepEqual([await listOffsets(purged, -2n), await listOffsets(purged, -1n)], [[60n], [100n]])
  })

  it('a group is listed, described and deleted only when empty', async () => {
    const topicName = await topic('described'); const group = name('described')
    await fill(topicName, 0, 10)
    const member = await consume(topicName, { group })
    await waitUntil('it reads', () => member.read.length === 10)
    assert.equal((await admin.listGroups()).get(group).protocolType, 'consumer')
    const describe = async () => (await admin.describeGroups({ groups: [group] })).get(group)
    const { state, members } = await describe()
    assert.equal(state.toUpperCase(), 'STABLE')
    assert.deepEqual([...members.values()].map(m => m.assignments.get(topicName)), [{ topic: topicName, partitions: [0] }])
    await assert.rejects(admin.deleteGroups({ groups: [group] }), refused('NON_EMPTY_GROUP'))
    await member.stop()
    assert.equal((await describe()).state.toUpperCase(), 'EMPTY')
    await admin.deleteGroups({ groups: [group] })
    assert.ok(!(await admin.listGroups()).has(group))
  })
})
