// The machine that the figures were measured on: without it they say nothing.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, loadavg, release, totalmem } from 'node:os'

/** Names and values, in the order in which they are shown. */
export function machineFacts(k6, versions) {
  const processors = cpus()
  return {
    CPU: processors[0].model.trim(),
    Cores: String(processors.length),
    Memory: `${(totalmem() / 2 ** 30).toFixed(1)} GiB`,
    System: distribution(),
    Kernel: release(),
    Node: process.version,
    Fastify: createRequire(import.meta.url)('fastify/package.json').version,
    k6: k6.version,
    ...versions,
    'Load before': loadavg().map((load) => load.toFixed(2)).join(' '),
  }
}

function distribution() {
  try {
    return /^PRETTY_NAME="?(.*?)"?$/m.exec(readFileSync('/etc/os-release', 'utf8'))[1]
  } catch {
    return process.platform
  }
}
