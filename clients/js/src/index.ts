/** Client of pointstream, which turns photos into a 3D point cloud while they are sent. */

export type {
  AttachOptions,
  ClientOptions,
  ServerInfo,
  SessionList,
  SessionOptions,
  SocketOptions,
} from './client.js';
export { Client } from './client.js';
export type { Chunk } from './cloud.js';
export { Camera, Cloud } from './cloud.js';
export type {
  Append,
  FramePose,
  FrameQuality,
  Matrix,
  Metadata,
  Quality,
  SessionInfo,
  StoredImage,
} from './engine/messages.js';
export type { Retry } from './engine/retry.js';
export type { KnownCamera } from './engine/uploads.js';
export type { ErrorDetails } from './errors.js';
export {
  AuthenticationError,
  BusyError,
  ClosedError,
  ConnectionLostError,
  GlbError,
  ImageRefusedError,
  IncompatibleServerError,
  InvalidRequestError,
  InvalidResponseError,
  PermissionDeniedError,
  PointstreamError,
  ReconstructionError,
  RequestCancelledError,
  ResultTooLargeError,
  ServerError,
  SessionCompletedError,
  SessionEndedError,
  SessionNotFoundError,
  StateError,
  StorageError,
  UnreachableError,
  WebhookError,
} from './errors.js';
export type {
  Ack,
  Connected,
  Disconnected,
  Poses,
  Progress,
  Refused,
  SessionEvent,
} from './events.js';
export { Result } from './events.js';
export type { Points } from './glb.js';
export type { Image, ImageBytes, ImageSource } from './images.js';
export type { SessionParameters, Webhook } from './parameters.js';
export type { ReconstructOptions } from './reconstruct.js';
export { Reconstruction, reconstruct } from './reconstruct.js';
export type { GenerateOptions, ResultFormat } from './session.js';
export { Session } from './session.js';
export type { Subscription } from './subscription.js';
export { PROTOCOL_VERSION, VERSION } from './version.js';
export type { VerifyOptions, WebhookHeaders, WebhookMessage } from './webhooks.js';
export { verifyWebhook } from './webhooks.js';
