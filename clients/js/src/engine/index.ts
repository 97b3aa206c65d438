/**
 * The lower layer, for user interfaces: a queue of images whose states are shown, automatic updates,
 * and events for everything. `Client` and `Session` of `pointstream` are made of it.
 */

export { reason, ServerError, UnreachableError } from '../errors.js';
export { Engine } from './engine.js';
export type { EngineEvents, Link } from './events.js';
export type * from './messages.js';
export type { Found, OpenOptions } from './open.js';
export { attachSession, createSession, deltasFor } from './open.js';
export type { Beginning, EngineOptions } from './options.js';
export type { Request, RequestKind } from './requests.js';
export { SessionResource } from './resource.js';
export type { Retry } from './retry.js';
export type { Query, RequestOptions, ServerOptions, Tagged } from './server.js';
export { Server } from './server.js';
export { bytes } from './size.js';
export type { Tokens } from './tokens.js';
export { GivenTokens, sessionOf } from './tokens.js';
export type { Image, ImageState, KnownCamera, Other } from './uploads.js';
export { uniqueNames } from './uploads.js';
export type { Seen } from './watcher.js';
export { Watcher } from './watcher.js';
