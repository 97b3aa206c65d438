/** The panels for workers, stages, memory and errors, and the tiles on top. */

import { create, element, setText } from '../shared/dom';
import { age, bytes, count, duration, plural } from '../shared/format';
import { type Actor, actorsOf, type Budget, type Job, type Snapshot } from './data';
import { cells, fill, fillMeter, fillState, Rows } from './rows';

const STAGES = ['queued', 'frames', 'encode', 'model', 'cloud', 'glb', 'store', 'total'];

interface Figure {
  label: string;
  value: string;
}

interface Latency {
  stage: string;
  p50: number;
  p95: number;
  share: number;
}

interface Failure {
  time: number;
  kind: string;
  session_id: string | null;
  message: string;
  ago: number;
}

export class Panels {
  private model = '';
  private readonly busy = new BusyShares();
  private readonly tiles = new Rows<Figure>(
    element('tiles'),
    ({ label }) => label,
    ({ label }) => {
      const tile = create('li');
      tile.append(create('b'), create('span', '', label));
      return tile;
    },
    (tile, { value }) => fill(tile, 0, value),
  );
  private readonly workers = new Rows<Actor>(
    element('workers'),
    ({ name }) => name,
    () => cells(8, [6]),
    (row, worker) => this.worker(row, worker),
  );
  private readonly latencies = new Rows<Latency>(
    element('latencies'),
    ({ stage }) => stage,
    ({ stage }) => {
      const row = cells(4, [2, 3]);
      row.dataset.stage = stage;
      return row;
    },
    (row, { stage, p50, p95, share }) => {
      fill(row, 0, stage);
      fillMeter(row, 1, share);
      fill(row, 2, duration(p50));
      fill(row, 3, duration(p95));
    },
  );
  private readonly facts = new Rows<Figure>(
    element('memory'),
    ({ label }) => label,
    ({ label }) => create(label.endsWith('\u0000') ? 'dd' : 'dt'),
    (entry, { value }) => setText(entry, value),
  );
  private readonly errors = new Rows<Failure>(
    element('errors'),
    ({ time, kind, message }) => `${time} ${kind} ${message}`,
    ({ kind, message, session_id }) => {
      const line = create('li');
      const where = session_id ? ` session ${session_id.slice(0, 8)}` : '';
      line.append(create('span', 'kind', kind), create('span', '', message));
      line.append(create('span', 'quiet'));
      line.dataset.where = where;
      return line;
    },
    (line, { ago }) => fill(line, 2, ` ${age(ago)} ago,${line.dataset.where || ' no session'}`),
  );

  show(snapshot: Snapshot): void {
    const { actors, stats, info, sessions } = snapshot;
    this.model = [info.model?.name, info.model?.version].filter(Boolean).join(' ');
    const up = age(stats.uptime_seconds);
    setText(element('server'), `${info.version} · ${this.model} · up for ${up}`);

    const workers = actorsOf('worker', actors);
    this.busy.look(stats.time, workers);
    const atWork = workers.filter(({ current_job }) => current_job).length;
    this.tiles.show([
      { label: 'sessions', value: count(sessions.stats.total_sessions) },
      { label: 'images in them', value: count(sessions.stats.total_images) },
      { label: 'clients connected', value: count(stats.connections.websockets) },
      { label: 'workers busy', value: `${count(atWork)} / ${count(workers.length)}` },
      { label: 'jobs waiting', value: count(stats.queue.jobs) },
      { label: 'point clouds made', value: count(stats.totals.generations_succeeded) },
      { label: 'memory', value: bytes(stats.memory.resident_bytes ?? 0) },
      { label: 'errors', value: count(stats.totals.errors) },
    ]);
    setText(
      element('queue'),
      `${plural(stats.queue.jobs, 'job')} of ${count(stats.queue.capacity)} waiting`,
    );
    this.workers.show(workers);
    this.showLatencies(snapshot);
    this.showMemory(snapshot);
    this.errors.show(
      stats.errors.map((error) => ({
        ...error,
        ago: stats.time - error.time,
      })),
    );
    element('no-errors').hidden = stats.errors.length > 0;
  }

  private worker(row: HTMLElement, worker: Actor): void {
    fill(row, 0, worker.name);
    fill(row, 1, worker.device ?? '');
    fill(row, 2, this.model);
    fillState(row, 3, worker.state);
    const share = this.busy.share(worker.name);
    fillMeter(row, 4, share, `${Math.round(100 * share)} %`);
    fill(row, 5, worker.current_job ? describeJob(worker.current_job) : '');
    fill(row, 6, count(worker.restarts));
    fill(row, 7, worker.last_error ?? '');
  }

  private showLatencies({ stats }: Snapshot): void {
    const { generations, seconds } = stats.latencies;
    const total = seconds.total?.p50 || 1;
    const known = STAGES.filter((stage) => seconds[stage]);
    this.latencies.show(
      known.map((stage) => {
        const { p50 = 0, p95 = 0 } = seconds[stage] ?? {};
        return { stage, p50, p95, share: p50 / total };
      }),
    );
    element('no-latencies').hidden = known.length > 0;
    setText(
      element('generations'),
      generations > 0 ? `of the last ${plural(generations, 'point cloud')}` : '',
    );
  }

  private showMemory({ stats }: Snapshot): void {
    const { memory, totals, connections } = stats;
    const budget = ({ used_bytes, limit_bytes }: Budget) =>
      `${bytes(used_bytes)} of ${bytes(limit_bytes)}`;
    const facts: Record<string, string> = {
      'Resident memory': memory.resident_bytes === null ? 'unknown' : bytes(memory.resident_bytes),
      'Upload buffer': budget(memory.upload_buffer),
      'Feature cache': budget(memory.feature_cache),
      Decoding: budget(memory.decoding),
      Jobs: budget(memory.jobs),
      Received: `${bytes(totals.bytes_received)}, ${plural(totals.messages_received, 'message')}`,
      Sent: `${bytes(totals.bytes_sent)}, ${plural(totals.messages_sent, 'message')}`,
      'Network connections': count(connections.network),
      'Sessions since the start': count(totals.sessions),
      'Images since the start': count(totals.images),
      'Point clouds failed': count(totals.generations_failed),
      'Worker restarts': count(totals.worker_restarts),
    };
    this.facts.show(
      Object.entries(facts).flatMap(([label, value]) => [
        { label, value: label },
        // A suffix, so that the keys of the term and of its value differ.
        { label: `${label}\u0000`, value },
      ]),
    );
  }
}

function describeJob({ kind, frames, running_seconds, session_id }: Job): string {
  const running = duration(running_seconds);
  return `${kind}, ${plural(frames, 'frame')}, session ${session_id.slice(0, 8)}, for ${running}`;
}

/** Each worker's share of busy time over up to the last minute. */
class BusyShares {
  private readonly looks: { time: number; seconds: Map<string, number> }[] = [];

  look(time: number, workers: Actor[]): void {
    const seconds = new Map(workers.map(({ name, busy_seconds }) => [name, busy_seconds ?? 0]));
    this.looks.push({ time, seconds });
    while (time - (this.looks[0]?.time ?? time) > 60) {
      this.looks.shift();
    }
  }

  share(name: string): number {
    const [first] = this.looks;
    const last = this.looks.at(-1);
    const passed = (last?.time ?? 0) - (first?.time ?? 0);
    const worked = (last?.seconds.get(name) ?? 0) - (first?.seconds.get(name) ?? 0);
    return passed > 0 ? Math.min(1, Math.max(0, worked / passed)) : 0;
  }
}
