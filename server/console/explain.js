// What DOC.EXPLAIN says, drawn as a tree: what comes out above, where it comes from below.

import { badge, el, facts } from './parts.js';
import { count, duration } from './figures.js';
import { visible } from './json.js';

const NAMES = { COLLSCAN: 'all documents', IXSCAN: 'an index', IDLOOKUP: 'ids' };

const branch = (box, ...below) => {
  const inner = below.flat().filter(Boolean);
  return el('li', {}, box, inner.length > 0 && el('ul', {}, inner));
};

const box = (kind, title, ...more) => el('div', { class: `box ${kind}` }, el('strong', {}, visible(title)), more);

const bounds = (of) =>
  Object.entries(of ?? {}).map(([field, intervals]) =>
    el('div', { class: 'mono bound' }, `${visible(field)} in ${intervals.map(visible).join(' or ')}`),
  );

/** How documents are read: a scan, an index, or several of them. */
function reading(plan, kind) {
  const signs = [plan.covered && badge('covered', 'good'), plan.sortFromIndex && badge('in order', 'good'), plan.multikey && badge('multikey'), plan.reverse && badge('backwards')];
  const cost = plan.estimate && el('p', { class: 'sub' }, `estimate: ${count(plan.estimate.entries)} entries, ${duration(plan.estimate.micros)}`);
  const shown = box(
    `${kind} ${plan.stage === 'COLLSCAN' ? 'slow' : 'quick'}`,
    plan.stage,
    el('p', {}, plan.union ? 'reads what each of these finds' : `reads ${NAMES[plan.stage] ?? ''}${plan.index ? `: ${visible(plan.index)}` : ''}`),
    plan.union ? [] : bounds(plan.bounds),
    signs,
    cost,
  );
  const parts = (plan.union ?? []).map((part) =>
    branch(box(kind, part.index, part.ids === undefined ? bounds(part.bounds) : el('p', {}, `${part.ids} ids`))),
  );
  return branch(shown, parts);
}

/** The tree, with what was counted while it ran and the plans that were not taken. */
export function tree(explained) {
  const stages = [...(explained.stages ?? [])].reverse();
  const source = reading(explained.plan, 'taken');
  const chain = stages.reduceRight((below, stage) => branch(box('stage', typeof stage === 'string' ? stage : JSON.stringify(stage)), below), source);
  const result = box('result', 'Result', el('p', {}, `${count(explained.returned)} documents in ${duration(explained.micros)}`));
  const rejected = explained.rejected ?? [];
  return [
    facts([
      ['Returned', count(explained.returned)],
      ['Documents looked at', count(explained.docsExamined)],
      ['Index entries looked at', count(explained.keysExamined)],
      ['Time', duration(explained.micros)],
      ['Spilled', `${count(explained.spilledBytes)} B`],
    ]),
    el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Plan' }, el('ul', { class: 'tree' }, branch(result, chain))),
    rejected.length > 0 && el('h3', {}, 'Plans that were not taken'),
    rejected.length > 0 && el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Plans that were not taken' }, el('ul', { class: 'tree flat' }, rejected.map((plan) => reading(plan, 'other')))),
  ];
}
