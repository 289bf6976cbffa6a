// Reads query string, path and body, as far as they are not the engine's business.
import type { FastifyRequest } from 'fastify'

import { invalid, shown } from './errors.js'

const NOTHING = Buffer.alloc(0)

/** The body as it came. */
export function bodyOf({ body }: FastifyRequest): Buffer {
  return Buffer.isBuffer(body) ? body : NOTHING
}

/** The trace that the request belongs to, as W3C Trace Context hands it on. The engine leaves out what is none. */
export function traceOf({ headers }: FastifyRequest): string | undefined {
  // Node joins repeated headers to one text, which is no traceparent.
  return headers['traceparent'] as string | undefined
}

/** The parameters of the query string. A misspelt one is an error: without it the answer would be about something else. */
export function queryOf<N extends string>(request: FastifyRequest, names: readonly N[]): Partial<Record<N, string>> {
  const found: Partial<Record<N, string>> = {}
  for (const [given, value] of Object.entries(request.query as Record<string, unknown>)) {
    const name = names.find((name) => name === given)
    if (name === undefined) throw invalid(shown(given), `is not a parameter; there are ${names.join(', ')}`)
    if (typeof value !== 'string') throw invalid(name, 'is there more than once')
    found[name] = value
  }
  return found
}

/** A whole number from 1 to `max`. */
export function wholeNumber(field: string, text: string, max: number): number {
  const number = /^\d{1,15}$/.test(text) ? Number(text) : 0
  if (number < 1 || number > max) throw invalid(field, `must be a whole number from 1 to ${max}`)
  return number
}

/** One of a few words. */
export function oneOf<W extends string>(field: string, text: string, words: readonly W[]): W {
  const word = words.find((word) => word === text)
  if (word === undefined) throw invalid(field, `must be one of ${words.join(', ')}`)
  return word
}

/** A part of the path. */
export function partOf(request: FastifyRequest, name: string): string {
  return (request.params as Record<string, string>)[name] ?? ''
}
