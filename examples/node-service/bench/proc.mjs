// CPU time and memory of processes, from /proc.
import { readdirSync, readFileSync } from 'node:fs'

// The kernel reports CPU times in this unit, at any tick rate of its own.
const TICKS_PER_SECOND = 100
const EVERY_MS = 500

/**
 * Follows processes, by name: `{ pids }`, `{ pid }`, with `comm` if it must be called that to be the right one, or
 * `{ childrenOf, comm }` for the whole family of a process's parent. The returned function stops and gives the samples.
 */
export function watch(targets) {
  const samples = []
  const take = () => samples.push(sample(targets))
  take()
  const timer = setInterval(take, EVERY_MS)
  return () => {
    clearInterval(timer)
    take()
    return samples
  }
}

/** CPU seconds per second of a target between two moments; `undefined` if it is not on this machine. */
export function cpuRate(samples, name, from, until) {
  const seen = samples.filter(({ at, cpu }) => at >= from && at <= until && cpu[name] !== undefined)
  const [first, last] = [seen.at(0), seen.at(-1)]
  if (!first || first === last) return undefined
  return ((last.cpu[name] - first.cpu[name]) * 1000) / (last.at - first.at)
}

/** Most memory of a target between two moments, in MiB. */
export function mostMemory(samples, name, from, until) {
  const seen = samples.filter(({ at, memory }) => at >= from && at <= until && memory[name] !== undefined)
  return Math.max(...seen.map(({ memory }) => memory[name]))
}

/** Memory in MiB of the process that takes most: now, and the most since it started. */
export function memory(pids) {
  const of = pids.map((pid) => readFileSync(`/proc/${pid}/status`, 'utf8'))
  const mib = (field) => Math.max(...of.map((status) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)[1]) / 1024))
  return { now: mib('VmRSS'), most: mib('VmHWM') }
}

function sample(targets) {
  const taken = { at: Date.now(), cpu: {}, memory: {} }
  for (const [name, target] of Object.entries(targets)) {
    const stats = statsOf(target)
    if (stats.length === 0) continue
    taken.cpu[name] = stats.reduce((sum, { seconds }) => sum + seconds, 0)
    taken.memory[name] = stats.reduce((sum, { mib }) => sum + mib, 0)
  }
  return taken
}

function statsOf({ pid, pids, childrenOf, comm }) {
  if (pids) return pids.map(stat).filter(Boolean)
  if (pid) return [stat(pid)].filter((found) => found && (!comm || found.comm === comm))
  const child = stat(childrenOf)
  if (child?.comm !== comm) return []
  const family = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(stat)
  const parent = child.parent
  return family.filter((found) => found && found.comm === comm && (found.pid === parent || found.parent === parent))
}

/** See proc_pid_stat(5). The name is in parentheses and may hold any character. */
function stat(pid) {
  let text
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return undefined
  }
  const end = text.lastIndexOf(')')
  const field = text.slice(end + 2).split(' ')
  // Own time, and that of children that have ended: they leave the family, and what they took stays in it.
  const ticks = field.slice(11, 15).reduce((sum, value) => sum + Number(value), 0)
  return {
    pid: Number(pid),
    comm: text.slice(text.indexOf('(') + 1, end),
    parent: Number(field[1]),
    seconds: ticks / TICKS_PER_SECOND,
    mib: (Number(field[21]) * 4096) / (1 << 20),
  }
}
