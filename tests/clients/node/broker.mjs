// The broker under test: its address, names that no other test uses, waiting with a bound.

import { randomBytes } from 'node:crypto'

const WAIT_MAX_MS = 30_000

export const bootstrap = process.env.BOOTSTRAP
if (!bootstrap) throw new Error('BOOTSTRAP is not set: run tests/clients/run.sh')

export const name = what => `${what}-${randomBytes(4).toString('hex')}`

export async function waitUntil (what, condition) {
  const deadline = Date.now() + WAIT_MAX_MS
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > deadline) throw new Error(`${what}: not within ${WAIT_MAX_MS} ms`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

export const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)
