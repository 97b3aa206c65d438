/** The live tree of actors. */

import { create, element, setText } from '../shared/dom';
import { age, count, plural } from '../shared/format';
import type { Actor } from './data';
import { Rows } from './rows';

interface Branch {
  below: HTMLElement;
  children: Rows<Actor>;
  state: HTMLElement;
  figures: HTMLElement;
}

export class ActorTree {
  private readonly branches = new WeakMap<HTMLElement, Branch>();
  private readonly roots = this.rows(element('actors'));

  show(root: Actor): void {
    this.roots.show([root]);
    setText(element('actors-count'), plural(size(root), 'actor'));
  }

  private rows(parent: HTMLElement): Rows<Actor> {
    return new Rows<Actor>(
      parent,
      ({ id, kind, name }) => `${kind} ${name} ${id}`,
      (actor) => this.make(actor),
      (row, actor) => this.update(row, actor),
    );
  }

  private make({ kind, name }: Actor): HTMLElement {
    const node = create('li');
    const line = create('div', 'actor');
    const label = create('span', '', kind);
    const id = create('code', '', kind === 'session' ? name.slice(0, 8) : name);
    id.title = name;
    const state = create('span', 'state');
    const figures = create('span', 'quiet');
    const below = create('ul', 'children');
    line.append(label, ...(name && name !== kind ? [id] : []), state, figures);
    node.append(line, below);
    this.branches.set(node, { below, children: this.rows(below), state, figures });
    return node;
  }

  private update(node: HTMLElement, actor: Actor): void {
    const branch = this.branches.get(node);
    if (!branch) {
      return;
    }
    branch.state.dataset.state = actor.state;
    setText(branch.state, actor.state);
    const figures = [`${count(actor.messages_handled)} handled`];
    if (actor.mailbox_depth > 0) {
      figures.push(`${count(actor.mailbox_depth)} waiting`);
    }
    if (actor.queue_depth) {
      figures.push(`${count(actor.queue_depth)} queued`);
    }
    if (actor.restarts > 0) {
      figures.push(plural(actor.restarts, 'restart'));
    }
    figures.push(age(actor.age_seconds));
    setText(branch.figures, figures.join(' · '));
    branch.children.show(actor.children);
    branch.below.hidden = actor.children.length === 0;
  }
}

function size({ children }: Actor): number {
  return 1 + children.reduce((sum, child) => sum + size(child), 0);
}
