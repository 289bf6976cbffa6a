// Processes that end before this one does.
import { execFile, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

import { wasInterrupted } from './cleanup.mjs'

const STOP_MS = 15_000
const READY_MS = 60_000
const run = promisify(execFile)

const running = new Set()
// Also when this process ends by an error that nothing caught.
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')))

/** Starts a process that writes to the file `log`; `exited` resolves with its code, or the signal that ended it. */
export function start(command, args, { env, log }) {
  if (wasInterrupted()) throw new Error('interrupted')
  const file = openSync(log, 'a')
  const child = spawn(command, args, { env, stdio: ['ignore', file, file] })
  closeSync(file)
  running.add(child)
  const exited = new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal))
    child.once('error', (error) => resolve(error.message))
  }).finally(() => running.delete(child))
  return { pid: child.pid, log, exited, stop: () => stop(child, exited) }
}

/** Asks it to end, and makes it end if it does not. */
async function stop(child, exited) {
  child.kill('SIGTERM')
  if ((await within(STOP_MS, exited)) !== undefined) return
  child.kill('SIGKILL')
  await within(STOP_MS, exited)
  console.error(`process ${child.pid} had to be killed`)
}

/** The value that the promise resolves with; `undefined` if that takes longer than `ms`. */
export async function within(ms, promise) {
  const timer = new AbortController()
  try {
    return await Promise.race([promise, sleep(ms, undefined, { signal: timer.signal })])
  } finally {
    timer.abort()
  }
}

/** Waits until the process answers a GET with 200; throws if it ends or takes too long. */
export async function ready(child, url) {
  const exit = child.exited.then((code) => ({ code }))
  const deadline = Date.now() + READY_MS
  while (Date.now() < deadline) {
    if (await answers(url)) return
    const ended = await within(100, exit)
    if (ended) throw new Error(`it ended with ${ended.code} before it was ready:\n${tail(child.log)}`)
  }
  throw new Error(`${url} did not answer 200 within ${READY_MS / 1000} s:\n${tail(child.log)}`)
}

async function answers(url) {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok
  } catch {
    return false
  }
}

/** The last lines of a log. */
export function tail(log) {
  return readFileSync(log, 'utf8').trimEnd().split('\n').slice(-20).join('\n')
}

/** Output of a command that is soon done. */
export async function output(command, args, timeout = 60_000) {
  try {
    const { stdout } = await run(command, args, { timeout, maxBuffer: 64 << 20 })
    return stdout.trim()
  } catch (error) {
    // The message of the error itself holds the whole command line, and that a password.
    const reason = error.stderr?.trim() || (error.killed ? `no answer within ${timeout / 1000} s` : `ended with ${error.code}`)
    throw new Error(`${command}: ${reason}`)
  }
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}
