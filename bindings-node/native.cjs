'use strict'
// Finds the native half for this platform: beside this file where it was built here, else in the package of the platform.
const { existsSync } = require('node:fs')
const { join } = require('node:path')

/** `linux-x64-gnu`… */
function platform() {
  const { platform, arch } = process
  if (platform !== 'linux') return platform === 'win32' ? `${platform}-${arch}-msvc` : `${platform}-${arch}`
  // Where there is no glibc it is musl.
  const glibc = process.report.getReport().header.glibcVersionRuntime !== undefined
  return `${platform}-${arch}-${glibc ? 'gnu' : 'musl'}`
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
