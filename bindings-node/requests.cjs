'use strict'
// Checks of the values that callers pass: they have the right type, and text is well-formed Unicode. The engine checks
// the bounds.
const { isUint8Array } = require('node:util/types')
const { TrustEngineError, invalid } = require('./errors.cjs')

/** The organization that is meant where none is named. */
const DEFAULT_ORGANIZATION = 'default'

function mistyped(field, value, wanted) {
  const given = value === undefined ? 'missing' : value === null ? 'null' : `of type ${typeof value}`
  return invalid(field, `is ${given}; it takes ${wanted}`)
}

function text(field, value) {
  if (typeof value !== 'string') throw mistyped(field, value, 'a string')
  // Passed on, half a surrogate pair becomes U+FFFD, and two ids would become one.
  if (!value.isWellFormed()) throw invalid(field, 'has half of a surrogate pair, which is no text')
  return value
}

function optionalText(field, value) {
  return value == null ? undefined : text(field, value)
}

function number(field, value) {
  if (typeof value !== 'number') throw mistyped(field, value, 'a number')
  if (!Number.isFinite(value)) throw invalid(field, `is ${value}, which is no number of JSON`)
  return value
}

function integer(field, value, min, max) {
  if (Number.isInteger(number(field, value)) && value >= min && value <= max) return value
  throw invalid(field, `is ${value}; it must be an integer from ${min} to ${max}`)
}

function flag(field, value) {
  if (typeof value !== 'boolean') throw mistyped(field, value, 'true or false')
  return value
}

function bytes(field, value) {
  if (!isUint8Array(value)) throw mistyped(field, value, 'a Uint8Array')
  return value
}

function texts(field, value) {
  if (!Array.isArray(value)) throw mistyped(field, value, 'an array of strings')
  return value.map((one) => text(field, one))
}

function object(field, value) {
  if (value === null || typeof value !== 'object') throw mistyped(field, value, 'an object')
  return value
}

/** Finds text in a value that is no well-formed Unicode; on its way it would become other text. */
function checkTexts(field, value) {
  if (typeof value === 'string') text(field, value)
  else if (Array.isArray(value)) value.forEach((one, index) => checkTexts(`${field}[${index}]`, one))
  else if (value !== null && typeof value === 'object') {
    for (const [name, one] of Object.entries(value)) {
      text(field, name)
      checkTexts(field === 'options' ? name : `${field}.${name}`, one)
    }
  }
}

/** As JSON. */
function json(field, value) {
  let written
  try {
    written = JSON.stringify(value, (name, one) => {
      // JSON.stringify would write null, and what was meant would be lost.
      if (typeof one === 'number' && !Number.isFinite(one)) throw invalid(name === '' ? field : `${field}.${name}`, `is ${one}`)
      return one
    })
  } catch (cause) {
    if (cause instanceof TrustEngineError) throw cause
    const [why] = String(cause?.message ?? cause).split('\n', 1)
    throw invalid(field, `cannot be written as JSON: ${why}`, cause)
  }
  if (written === undefined) throw mistyped(field, value, 'what JSON has')
  // Escapes that JSON.stringify writes for halves of surrogate pairs alone.
  if (/\\u[dD][89a-fA-F]/.test(written)) checkTexts(field, value)
  return written
}

/** `*` is the whole fleet for the native half, and so the name of no organization. */
function organizationName(field, value) {
  if (value === '*') throw invalid(field, "is '*', which is no organization")
  return optionalText(field, value)
}

/** The fields of `shape` that `value` sets, each passed through its check. */
function fields(value, shape, within = '') {
  const set = {}
  for (const [name, check] of Object.entries(shape)) {
    if (value[name] != null) set[name] = check(within + name, value[name])
  }
  return set
}

/** Refuses a name that an object does not have: what was meant by it would be lost. */
function known(value, names, within = '') {
  for (const name in value) {
    if (!names.has(name)) throw invalid(within + name, `is not a field; there are ${[...names].join(', ')}`)
  }
  return value
}

const GATE = new Set(['agentId', 'role', 'tier', 'organization', 'caller', 'onBehalfOf', 'traceparent', 'context'])
const CONTEXT = new Set(['resourceId', 'action', 'environment', 'metadata'])
const CEILING = new Set([
  'agentId', 'resourceType', 'requestedAmount', 'tier', 'organization', 'caller', 'onBehalfOf', 'traceparent', 'requestId',
])

/** The fields of a gate's request, in the order of src/engine.rs. */
function gateFields(request) {
  const { agentId, role, tier, organization, caller, onBehalfOf, traceparent, context } =
    known(object('request', request), GATE)
  const { resourceId, action, environment, metadata } =
    context == null ? {} : known(object('context', context), CONTEXT, 'context.')
  return [
    text('agentId', agentId),
    text('role', role),
    optionalText('tier', tier),
    organizationName('organization', organization),
    optionalText('caller', caller),
    optionalText('onBehalfOf', onBehalfOf),
    optionalText('traceparent', traceparent),
    optionalText('context.resourceId', resourceId),
    optionalText('context.action', action),
    optionalText('context.environment', environment),
    metadata == null ? undefined : json('context.metadata', metadata),
  ]
}

const GATE_OPTIONS = new Set(['trace'])

/** Whether a verdict is to have its trace. */
function isTraced(options) {
  if (options === undefined) return false
  const { trace } = known(object('options', options), GATE_OPTIONS, 'options.')
  return trace === undefined ? false : flag('options.trace', trace)
}

/** The fields of a ceiling's request, likewise. */
function ceilingFields(request) {
  const { agentId, resourceType, requestedAmount, tier, organization, caller } =
    known(object('request', request), CEILING)
  const { onBehalfOf, traceparent, requestId } = request
  return [
    text('agentId', agentId),
    text('resourceType', resourceType),
    number('requestedAmount', requestedAmount),
    optionalText('tier', tier),
    organizationName('organization', organization),
    optionalText('caller', caller),
    optionalText('onBehalfOf', onBehalfOf),
    optionalText('traceparent', traceparent),
    optionalText('requestId', requestId),
  ]
}

/** A ceiling's request as the body of a call, with those who ask beside it. */
function ceilingBody(request) {
  const [agentId, resourceType, requestedAmount, tier, organization, caller, onBehalfOf, traceparent, requestId] = ceilingFields(request)
  if (requestId !== undefined) throw invalid('requestId', 'is not taken by a check that charges nothing')
  return { agentId, resourceType, requestedAmount, tier, organization, caller, onBehalfOf, traceparent }
}

const QUERY = {
  agentId: text, type: text, decision: text, startTime: text, endTime: text, parentId: text, oldestFirst: flag,
  pageSize: number, pageToken: text, readYourWrites: flag,
}

const QUERY_NAMES = new Set(Object.keys(QUERY))

/** The parameters of a search for records. */
function queryOf(query = {}) {
  const { oldestFirst, ...parameters } = fields(known(object('query', query), QUERY_NAMES), QUERY)
  return oldestFirst === undefined ? parameters : { ...parameters, order: oldestFirst ? 'oldest' : 'newest' }
}

const AGENT_QUERY = { tier: text, status: text, family: text, pageSize: number, pageToken: text }

const AGENT_QUERY_NAMES = new Set(Object.keys(AGENT_QUERY))

function agentQueryOf(query = {}) {
  return fields(known(object('query', query), AGENT_QUERY_NAMES), AGENT_QUERY)
}

const CALLER = new Set(['name', 'organization', 'fleetWide', 'internal', 'permissions'])

function callerOf(caller) {
  const { permissions } = known(object('caller', caller), CALLER, 'caller.')
  // A list that could not be had must not give every permission.
  if ('permissions' in caller && permissions == null) throw mistyped('caller.permissions', permissions, 'an array of strings')
  return caller
}

const CALL_OPTIONS = { body: bytes, ifMatch: text, idempotencyKey: text, requestId: text, traceparent: text }
const CALL_OPTION_NAMES = new Set(Object.keys(CALL_OPTIONS))
const NOTHING = new Uint8Array()

/** What stands beside the parameters of a call. */
function callOptions(options) {
  return { body: NOTHING, ...fields(known(object('options', options), CALL_OPTION_NAMES, 'options.'), CALL_OPTIONS) }
}

const SCOPE = new Set(['organization', 'fleetWide'])

/** The scope of records and counts: always one organization, or the fleet if it was asked for. */
function scopeOf(scope) {
  const { organization, fleetWide = false } = typeof scope === 'object' && scope ? known(scope, SCOPE, 'scope.') : { organization: scope }
  const name = organizationName('organization', organization)
  if (!flag('fleetWide', fleetWide)) return { organization: name ?? DEFAULT_ORGANIZATION, fleetWide }
  if (name !== undefined) throw invalid('organization', 'is named, and the whole fleet is asked for too; it takes one of them')
  return { organization: undefined, fleetWide }
}

/** The options that an engine is opened with, as the engine reads them: it refuses what it does not know. */
function openOptions(options = {}) {
  const { signingKey, ...rest } = object('options', options)
  if (signingKey == null) return json('options', rest)
  return json('options', { ...rest, signingKey: Buffer.from(bytes('signingKey', signingKey)).toString('hex') })
}

module.exports = {
  mistyped,
  text,
  optionalText,
  number,
  integer,
  bytes,
  object,
  flag,
  json,
  organizationName,
  gateFields,
  isTraced,
  ceilingFields,
  ceilingBody,
  texts,
  callerOf,
  callOptions,
  queryOf,
  agentQueryOf,
  scopeOf,
  openOptions,
}
