import assert from 'node:assert/strict'
import { test } from 'node:test'

import { TtlCache } from '../src/ttl-cache.js'

function setUp(capacity = 10) {
  const clock = { now: 0 }
  let loads = 0
  const cache = new TtlCache<number>(100, capacity, () => clock.now)
  const get = (key: string) => cache.get(key, async () => ++loads)
  return { clock, cache, get }
}

test('a value is kept for its time and no longer', async () => {
  const { clock, get } = setUp()
  assert.deepEqual(await get('a'), { value: 1, hit: false })
  clock.now = 99
  assert.deepEqual(await get('a'), { value: 1, hit: true })
  clock.now = 100
  assert.deepEqual(await get('a'), { value: 2, hit: false })
})

test('a value’s time begins when it is asked for, not when it is there', async () => {
  const { clock, cache, get } = setUp()
  await cache.get('slow', async () => {
    clock.now = 60
    return 7
  })
  clock.now = 99
  assert.deepEqual(await get('slow'), { value: 7, hit: true })
  clock.now = 100
  assert.equal((await get('slow')).hit, false)
})

test('those who miss together share one load', async () => {
  const { get } = setUp()
  const answers = await Promise.all([get('a'), get('a'), get('b')])
  assert.deepEqual(answers, [
    { value: 1, hit: false },
    { value: 1, hit: false },
    { value: 2, hit: false },
  ])
})

test('a failure reaches all who wait for it and is not kept', async () => {
  const { cache, get } = setUp()
  const failing = () => cache.get('a', () => Promise.reject(new Error('away')))
  const settled = await Promise.allSettled([failing(), failing()])
  assert.deepEqual(settled.map(({ status }) => status), ['rejected', 'rejected'])
  assert.deepEqual(await get('a'), { value: 1, hit: false })
})

test('when it is full the oldest goes', async () => {
  const { get } = setUp(2)
  for (const key of ['a', 'b', 'c']) await get(key)
  assert.equal((await get('c')).hit, true)
  assert.equal((await get('b')).hit, true)
  assert.equal((await get('a')).hit, false)
})
