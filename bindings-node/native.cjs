'use strict'
// Finds the native half for this platform: beside this file where it was built here, else in the package of the platform.
const { existsSync } = require('node:fs')
const { join } = require('node:path')

/** `linux-x64-gnu`… */
function platform() {
  const { platform, arch } = process
  if (platform !== 'linux') return platform === 'win32' ? `${platform}-${arch}-msvc` : `${platform}-${arch}`
  return `${platform}-${arch}-${glibc() ? 'gnu' : 'musl'}`
}

/** Where there is no glibc it is musl. */
function glibc() {
  const { report } = process
  const { excludeNetwork } = report
  // A report looks up the names of open connections' addresses, which can take long. Older versions have no choice.
  if (excludeNetwork !== undefined) report.excludeNetwork = true
  try {
    return report.getReport().header.glibcVersionRuntime !== undefined
  } finally {
    if (excludeNetwork !== undefined) report.excludeNetwork = excludeNetwork
  }
}

const name = platform()
const file = join(__dirname, `trust-engine.${name}.node`)
try {
  module.exports = existsSync(file) ? require(file) : require(`trust-engine-${name}`)
} catch (cause) {
  const missing = cause.code === 'MODULE_NOT_FOUND'
  const reason = missing
    ? `neither ${file} nor the package trust-engine-${name} is there; run \`npm run build\` in the repository, or install for this platform`
    : cause.message
  throw new Error(`the native half of trust-engine for ${name} cannot be loaded: ${reason}`, { cause })
}
