'use strict';

const REASONS = @reasons@;          // label -> what it means, from core/reasons.def
const EVERY_MS = 2000;              // between two questions
const EVERY_MS_UNSEEN = 10000;      // while nobody looks
const PATIENCE_MS = 5000;           // then there is no answer
const KEEP_S = 1800;                // the longest window
const RATE_S = 10;                  // "per second" is the mean of so many

// Of all that can go wrong, what says that this server, not its peers, is short of something.
const CONCERNS = [
	...['overload', 'overload_dropped', 'session_limit', 'connection_limit', 'pool_exhausted', 'no_memory', 'dialog_limit', 'credit', 'queue_full',
		'queued_bytes', 'store', 'store_busy'].map(r => [`imserv_refused_total{reason="${r}"}`, r, REASONS[r]]),
	['imserv_ring_no_buffers_total', 'receive buffers', 'a receive found no buffer free: raise runtime.recv_buffers'],
	['imserv_store_failures_total', 'store', 'requests that the store failed: see the log for the cause'],
];

// ---- figures: what /metrics said, and when ----

// One answer: Map of `name{labels}` to number, and of a family's name to its help.  Throws when it is not whole.
function parse(text) {
	const values = new Map(), help = new Map();
	let isWhole = false;
	for (const line of text.split('\n')) {
		const sample = /^([a-zA-Z_:][\w:]*(?:\{.*\})?) (\S+)/.exec(line);
		if (sample)
			values.set(sample[1], Number(sample[2]));
		else if (line.startsWith('# HELP '))
			help.set(line.split(' ', 3)[2], line.slice(line.indexOf(' ', 7) + 1));
		else if (line === '# EOF')
			isWhole = true;
	}
	if (!isWhole || !values.has('imserv_uptime_seconds'))
		throw new Error('what came is not all of the figures of an imserv');
	return {t: values.get('imserv_uptime_seconds'), values, help};
}

const labelOf = (key, name) => (new RegExp(`[{,]${name}="((?:[^"\\\\]|\\\\.)*)"`).exec(key) || [])[1];

// The answers of the last half hour, on the server's own clock: its uptime.
class History {
	constructor() {
		this.columns = new Map();   // key -> place in a row
		this.rows = [];             // {t, v: Float64Array}
		this.last = null;
	}

	add(answer) {
		if (this.last && answer.t < this.last.t) { // it was started again: nothing of before compares
			this.columns.clear();
			this.rows = [];
		}
		for (const key of answer.values.keys())
			if (!this.columns.has(key))
				this.columns.set(key, this.columns.size);
		const v = new Float64Array(this.columns.size).fill(NaN);
		for (const [key, value] of answer.values)
			v[this.columns.get(key)] = value;
		this.rows.push({t: answer.t, v});
		while (this.rows[0].t < answer.t - KEEP_S - EVERY_MS / 1000)
			this.rows.shift();
		this.last = answer;
	}

	now(key) {
		const value = this.last && this.last.values.get(key);
		return value === undefined || value === null ? NaN : value;
	}

	// The oldest row that is not older.
	rowAfter(t) {
		let low = 0, high = this.rows.length - 1;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (this.rows[middle].t < t)
				low = middle + 1;
			else
				high = middle;
		}
		return this.rows[low];
	}

	at(row, key) {
		const column = this.columns.get(key);
		return column === undefined || column >= row.v.length ? NaN : row.v[column];
	}

	// What a counter gained in the last so many seconds; what the first answer saw was there before.
	gained(key, seconds) {
		return this.last ? this.now(key) - (this.at(this.rowAfter(this.last.t - seconds), key) || 0) : NaN;
	}

	rate(key, seconds = RATE_S) {
		const from = this.last && this.rowAfter(this.last.t - seconds);
		return from && from.t < this.last.t ? (this.now(key) - (this.at(from, key) || 0)) / (this.last.t - from.t) : NaN;
	}

	// Of the last so many seconds, those without a hole before the oldest answer that is within them.
	watched(seconds) {
		return this.last ? this.last.t - this.rowAfter(this.last.t - seconds).t : 0;
	}

	isWatched(seconds) {
		return this.watched(seconds) >= seconds - 2 * EVERY_MS / 1000;
	}

	keys(start) {
		return this.last ? [...this.last.values.keys()].filter(key => key.startsWith(start)) : [];
	}

	// Rows at about equal distances over what was watched of the window, for a line.
	steps(seconds) {
		if (!this.last)
			return [];
		const watched = this.watched(seconds), count = Math.min(60, Math.max(1, Math.round(watched * 1000 / EVERY_MS)));
		const found = [this.rowAfter(this.last.t - seconds)];
		for (let i = 1; i <= count; i++) {
			const row = this.rowAfter(this.last.t - watched * (1 - i / count));
			if (row !== found[found.length - 1])
				found.push(row);
		}
		return found;
	}

	buckets(name) {
		return this.keys(name + '_bucket{').map(key => [labelOf(key, 'le'), key])
			.map(([le, key]) => [le === '+Inf' ? Infinity : Number(le), key]).sort((a, b) => a[0] - b[0]);
	}
}

// The q-quantile of what a histogram gained between two rows, in seconds; NaN of nothing.  Within a bucket, which
// reaches from one power of two to the next, all values count as equally likely.
function quantile(history, buckets, from, to, q) {
	const gained = buckets.map(([, key]) => history.at(to, key) - history.at(from, key));
	const total = gained[gained.length - 1];
	if (!(total > 0))
		return NaN;
	const place = gained.findIndex(n => n >= q * total);
	const low = place ? buckets[place - 1][0] : 0, high = buckets[place][0];
	if (high === Infinity)
		return low;
	const before = place ? gained[place - 1] : 0;
	return low + (high - low) * (q * total - before) / (gained[place] - before);
}

// ---- words ----

const isNumber = Number.isFinite;

// Three digits tell enough.
function few(n) {
	if (!isNumber(n))
		return '–';
	const size = Math.abs(n);
	return n.toLocaleString('en', {maximumFractionDigits: size === 0 || size >= 100 ? 0 : size >= 10 ? 1 : 2});
}

const whole = n => isNumber(n) ? Math.round(n).toLocaleString('en') : '–';

function octets(n) {
	if (!isNumber(n))
		return '–';
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
	let unit = 0;
	for (; Math.abs(n) >= 1000 && unit < units.length - 1; unit++)
		n /= 1024;
	return `${few(n)} ${units[unit]}`;
}

function span(seconds) {
	if (!isNumber(seconds))
		return '–';
	if (seconds < 0.001)
		return `${few(seconds * 1e6)} µs`;
	return seconds < 1 ? `${few(seconds * 1000)} ms` : `${few(seconds)} s`;
}

function age(seconds) {
	const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600) % 24, minutes = Math.floor(seconds / 60) % 60;
	if (days)
		return `${days} d ${hours} h`;
	if (hours)
		return `${hours} h ${minutes} min`;
	return minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}

const load = n => isNumber(n) ? `${few(n * 100)} %` : '–';   // of one CPU; several can be busy
const share = n => isNumber(n) ? `${few(Math.min(1, n) * 100)} %` : '–';

// Nothing is said of minutes that this page has not watched: "in 5 min" only once it has.
function inWindow(history, seconds) {
	if (history.isWatched(seconds))
		return `in ${seconds / 60} min`;
	return history.watched(seconds) >= 1 ? `in the ${age(history.watched(seconds))} watched` : 'watched yet';
}

// How often in the window; before that has been watched, in all: what was before the page was opened is no less true.
function countWords(history, key, seconds) {
	const gained = `${whole(history.gained(key, seconds))} ${inWindow(history, seconds)}`, total = `${whole(history.now(key))} since start`;
	return history.isWatched(seconds) ? gained : history.watched(seconds) >= 1 ? `${total}, ${gained}` : total;
}

// ---- building ----

const by = id => document.getElementById(id);

function make(name, attributes = {}, ...inside) {
	const isDrawn = ['svg', 'path'].includes(name);
	const element = isDrawn ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
	for (const [key, value] of Object.entries(attributes))
		element.setAttribute(key, value);
	element.append(...inside);
	return element;
}

// Nothing is written that is there already: a reader's selection stays, and so does what a screen reader reads.
function say(element, text) {
	if (element.textContent !== text)
		element.textContent = text;
}

// A figure with a note and a line of its last minutes: over what was watched of them, from 0 to the most.
class Tile {
	constructor(parent, id, title, look) {
		this.look = look;
		this.value = make('span');
		this.unit = make('small');
		this.note = make('p', {class: 'note'});
		this.area = make('path', {class: 'area'});
		this.curve = make('path', {class: 'curve'});
		this.drawing = make('svg', {viewBox: '0 0 100 30', preserveAspectRatio: 'none', role: 'img'}, this.area, this.curve);
		this.title = title;
		this.most = make('span');
		this.since = make('span');
		this.tile = make('article', {class: 'tile', id}, make('h3', {}, title), make('p', {class: 'value'}, this.value, this.unit),
			this.note, this.drawing, make('p', {class: 'scale', 'aria-hidden': 'true'}, this.since, this.most));
		parent.append(this.tile);
	}

	draw(history, seconds) {
		const {value, unit, note, line, words, isHidden} = this.look(history, seconds);
		this.tile.hidden = Boolean(isHidden);
		say(this.value, value);
		say(this.unit, unit || '');
		say(this.note, note || '');
		const seen = line.filter(([, y]) => isNumber(y)).map(([, y]) => y);
		const most = Math.max(0, ...seen), width = Math.max(history.watched(seconds), EVERY_MS / 1000), start = history.last.t - width;
		const point = ([t, y]) => `${(100 * (t - start) / width).toFixed(2)} ${(30 - (most ? 28 * y / most : 0)).toFixed(2)}`;
		// what is not known interrupts the line
		const parts = [[]];
		for (const place of line)
			if (isNumber(place[1]))
				parts[parts.length - 1].push(point(place));
			else if (parts[parts.length - 1].length)
				parts.push([]);
		const drawn = parts.filter(part => part.length).map(part => part.length > 1 ? part : [part[0], part[0]]); // alone: a dot
		this.curve.setAttribute('d', drawn.map(part => 'M' + part.join('L')).join(''));
		this.area.setAttribute('d', drawn.map(part => `M${part[0].split(' ')[0]} 30L${part.join('L')}L${part[part.length - 1].split(' ')[0]} 30Z`).join(''));
		say(this.since, seen.length > 1 ? `${history.isWatched(seconds) ? `${seconds / 60} min` : age(width)} ago` : '');
		say(this.most, seen.length ? `max ${words(most)}` : '');
		this.drawing.setAttribute('aria-label', seen.length ? `${this.title}, ${inWindow(history, seconds)}: ` +
			`least ${words(Math.min(...seen))}, most ${words(most)}` : `${this.title}: nothing to draw`);
	}
}

// A table whose columns sort it; rows are {id, name, explanation, cells: {column: number}, isNow}.  A phone has no
// room for spare columns.
class Table {
	constructor(table, what, columns, sorted) {
		this.columns = columns;
		this.sorted = sorted;
		this.isFalling = true;
		this.body = make('tbody');
		this.rows = new Map();
		this.heads = columns.map(column => {
			const button = make('button', {type: 'button'}, column.title);
			const head = make('th', {scope: 'col', class: column.isSpare ? 'spare' : ''}, button);
			button.addEventListener('click', () => this.sort(column.key));
			return head;
		});
		this.nothing = make('tr', {class: 'empty'}, make('td', {colspan: columns.length}));
		table.setAttribute('aria-label', what);
		table.append(make('thead', {}, make('tr', {}, ...this.heads)), this.body);
	}

	sort(key) {
		this.isFalling = key === this.sorted ? !this.isFalling : key !== 'name';
		this.sorted = key;
		this.show(this.shown, this.empty);
	}

	show(rows, empty = '') {
		this.shown = rows;
		this.empty = empty;
		const compare = (a, b) => this.sorted === 'name' ? a.name.localeCompare(b.name, 'en', {numeric: true}) :
			(isNumber(a.cells[this.sorted]) ? a.cells[this.sorted] : -1) - (isNumber(b.cells[this.sorted]) ? b.cells[this.sorted] : -1);
		const order = [...rows].sort((a, b) => (this.isFalling ? -1 : 1) * compare(a, b) || (b.cells.total || 0) - (a.cells.total || 0) || a.name.localeCompare(b.name, 'en', {numeric: true}));
		this.columns.forEach((column, i) => this.heads[i].setAttribute('aria-sort',
			column.key !== this.sorted ? 'none' : this.isFalling ? 'descending' : 'ascending'));
		order.forEach((row, place) => {
			const element = this.row(row);
			if (this.body.children[place] !== element)
				this.body.insertBefore(element, this.body.children[place] || null);
		});
		while (this.body.children.length > order.length)
			this.body.lastChild.remove();
		if (!order.length && empty) {
			say(this.nothing.firstChild, empty);
			this.body.append(this.nothing);
		}
	}

	row(row) {
		let element = this.rows.get(row.id);
		if (!element) {
			element = make('tr', {}, make('th', {scope: 'row'}, row.name, ...row.explanation ? [make('small', {}, row.explanation)] : []),
				...this.columns.slice(1).map(column => make('td', {class: column.isSpare ? 'spare' : ''})));
			this.rows.set(row.id, element);
		}
		element.toggleAttribute('data-now', Boolean(row.isNow));
		this.columns.slice(1).forEach((column, i) => {
			const cell = element.children[i + 1], value = row.cells[column.key];
			if (!column.isShare)
				return say(cell, column.words(value));
			if (!cell.firstChild)
				cell.append('', make('span', {class: 'bar', 'aria-hidden': 'true'}, make('i')));
			if (cell.firstChild.data !== column.words(value))
				cell.firstChild.data = column.words(value);
			cell.lastChild.firstChild.style.width = `${isNumber(value) ? Math.min(100, 100 * value) : 0}%`;
		});
		return element;
	}
}

// ---- what is shown ----

const gaugeTile = (key, note, words = whole) => (history, seconds) => ({
	value: words(history.now(key)), note: note && note(history),
	line: history.steps(seconds).map(row => [row.t, history.at(row, key)]), words,
});

// A line of what lies between rows: a place at the end of each step, and one where the first begins.
function between(steps, of) {
	const line = steps.slice(1).map((row, i) => [row.t, of(steps[i], row)]);
	return line.length ? [[steps[0].t, line[0][1]], ...line] : line;
}

const rateTile = (keys, unit, note, words = few) => (history, seconds) => {
	const steps = history.steps(seconds), total = row => keys.reduce((sum, key) => sum + history.at(row, key), 0);
	return {
		value: words(keys.reduce((sum, key) => sum + history.rate(key), 0)), unit, note: note && note(history),
		line: between(steps, (from, to) => (total(to) - total(from)) / (to.t - from.t)),
		words: n => words(n) + unit,
	};
};

const latencyTile = name => (history, seconds) => {
	const buckets = history.buckets(name), steps = history.steps(seconds);
	const from = steps[0], to = steps[steps.length - 1], count = history.gained(name + '_count', seconds);
	const p99 = quantile(history, buckets, from, to, 0.99);
	return {
		value: isNumber(p99) ? span(p99) : '–', unit: isNumber(p99) ? ' p99' : '',
		note: isNumber(p99) ? `p50 ${span(quantile(history, buckets, from, to, 0.5))} · of ${whole(count)} ${inWindow(history, seconds)}` :
			history.isWatched(seconds) ? `none ${inWindow(history, seconds)}` :
				`none ${inWindow(history, seconds)}; ${whole(history.now(name + '_count'))} since start`,
		line: between(steps, (a, b) => quantile(history, buckets, a, b, 0.99)), words: span,
	};
};

const sum = (keys, of) => keys.reduce((all, key) => all + of(key), 0);
const total = (key, words) => history => `${whole(history.now(key))} ${words}`;
const refusedKeys = history => history.keys('imserv_refused_total{');

const TILES = [
	['load', 'sessions', 'IM sessions', (h, seconds) => ({
		...gaugeTile('imserv_sessions', () => `${few(h.rate('imserv_sessions_started_total'))} started/s`)(h, seconds),
		unit: isNumber(h.now('imserv_sessions_limit')) ? ` of ${whole(h.now('imserv_sessions_limit'))}` : '',
	})],
	['load', 'pager', 'Pager messages', rateTile(['imserv_pager_messages_total'], '/s', total('imserv_pager_messages_total', 'in all'))],
	['load', 'msrp', 'MSRP messages', rateTile(['imserv_msrp_messages_total'], '/s', h => `${few(h.rate('imserv_msrp_chunks_total'))} chunks/s`)],
	['load', 'refused', 'Refused', (h, seconds) => rateTile(refusedKeys(h), '/s',
		() => h.isWatched(seconds) ? `${whole(sum(refusedKeys(h), key => h.gained(key, seconds)))} ${inWindow(h, seconds)}` :
			`${whole(sum(refusedKeys(h), key => h.now(key)))} since start`)(h, seconds)],
	['load', 'conferences', 'Conferences', (h, seconds) => ({
		...gaugeTile('imserv_conferences', () => `${few(h.rate('imserv_msrp_room_copies_total'))} copies/s to their members`)(h, seconds),
		isHidden: !h.rows.some(row => h.at(row, 'imserv_conferences') > 0), // they need not be in use
	})],
	['load', 'registrations', 'Registrations', gaugeTile('imserv_pool_used{pool="registrations"}', h => `${few(h.rate('imserv_sip_registrations_total'))} REGISTER/s`)],
	['load', 'sip', 'SIP requests', rateTile(['imserv_sip_rx_requests_total'], '/s', h => `${whole(h.now('imserv_sip_transactions'))} transactions`)],
	['load', 'connections', 'Connections', gaugeTile('imserv_connections', h => `${whole(h.now('imserv_msrp_legs'))} MSRP legs`)],
	['load', 'traffic', 'MSRP traffic', rateTile(['imserv_msrp_rx_bytes_total', 'imserv_msrp_tx_bytes_total'], '/s',
		h => `${octets(h.now('imserv_msrp_queued_bytes'))} waiting`, octets)],
	['latency', 'sip-latency', 'SIP request to answer', latencyTile('imserv_sip_transaction_seconds')],
	['latency', 'chunk-latency', 'MSRP chunk through the switch', latencyTile('imserv_chunk_switch_seconds')],
	['latency', 'store-latency', 'Commit of the store', latencyTile('imserv_store_commit_seconds')],
	['machine', 'cpu', 'CPU', rateTile(['process_cpu_seconds_total'], '', () => '100 % is one CPU', load)],
	['machine', 'memory', 'Memory', gaugeTile('process_resident_memory_bytes', null, octets)],
	['machine', 'timers', 'Timers', gaugeTile('imserv_timers')],
	['machine', 'deferred', 'Deferred messages', (h, seconds) => ({
		...gaugeTile('imserv_deferred_messages', () => octets(h.now('imserv_deferred_bytes')))(h, seconds),
		isHidden: !h.rows.some(row => h.at(row, 'imserv_deferred_messages') > 0), // it need not be in use
	})],
].map(([parent, id, title, look]) => new Tile(by(parent), id, title, look));

const refusals = new Table(by('refusals'), 'Refusals by reason', [
	{key: 'name', title: 'Reason'}, {key: 'rate', title: 'per s', words: few}, {key: 'gained', title: 'in window', words: whole},
	{key: 'total', title: 'in all', words: whole}], 'gained');
const workers = new Table(by('workers'), 'Workers', [
	{key: 'name', title: 'Worker'}, {key: 'busy', title: 'busy', words: share, isShare: true}, {key: 'loops', title: 'turns/s', words: few},
	{key: 'sessions', title: 'sessions', words: whole}, {key: 'connections', title: 'connections', words: whole, isSpare: true},
	{key: 'messages', title: 'SIP/s', words: few, isSpare: true}, {key: 'chunks', title: 'chunks/s', words: few, isSpare: true}], 'name');
workers.isFalling = false;
const figures = new Table(by('figures'), 'Every figure', [
	{key: 'name', title: 'Figure'}, {key: 'value', title: 'now', words: n => few(n)}, {key: 'rate', title: 'per s', words: few}], 'name');
figures.isFalling = false;

function showConcerns(history, seconds) {
	const isWatched = history.isWatched(seconds), often = key => isWatched ? history.gained(key, seconds) : history.now(key);
	const lines = CONCERNS.filter(([key]) => often(key) > 0)
		.map(([key, name, text]) => `${name}: ${text} — ${countWords(history, key, seconds)}`);
	const list = by('concerns'), text = lines.join('\n') || `Of nothing ${isWatched ? `in the last ${seconds / 60} min` : 'since the start'}.`;
	if (list.dataset.text === text)
		return;
	list.dataset.text = text;
	list.replaceChildren(...text.split('\n').map(line => make('li', lines.length ? {} : {'data-good': ''}, line)));
}

function showRefusals(history, seconds) {
	const wanted = by('refusals-filter').value.trim().toLowerCase(), all = by('refusals-all').checked;
	const rows = refusedKeys(history).map(key => {
		const name = labelOf(key, 'reason'), gained = history.watched(seconds) >= 1 ? history.gained(key, seconds) : NaN;
		return {id: name, name, explanation: REASONS[name] || '', isNow: gained > 0,
			cells: {rate: history.rate(key), gained, total: history.now(key)}};
	}).filter(row => (all || row.cells.total > 0) && `${row.name} ${row.explanation}`.toLowerCase().includes(wanted));
	refusals.show(rows, wanted ? 'No reason has these words.' : 'Nothing was refused since the start.');
}

function showWorkers(history) {
	workers.show(history.keys('imserv_worker_sessions{').map(key => {
		const id = labelOf(key, 'worker'), of = name => `imserv_worker_${name}{worker="${id}"}`;
		const busy = history.now(of('busy_ratio'));
		return {id, name: id, cells: {busy: isNumber(busy) ? busy : history.rate(of('cpu_seconds_total')),
			loops: history.rate(of('loops_total')), sessions: history.now(of('sessions')),
			connections: history.now(of('connections')), messages: history.rate(of('sip_messages_total')),
			chunks: history.rate(of('chunks_total'))}};
	}));
}

function showFigures(history) {
	if (!by('rest').open)
		return;
	const wanted = by('figures-filter').value.trim().toLowerCase();
	figures.show([...history.last.values.keys()].filter(key => !/_bucket\{/.test(key)).map(key => {
		const name = key.replace(/\{.*/, ''), isCounter = /_(total|count|sum)$/.test(name);
		return {id: key, name: key.replace(/^imserv_/, ''), explanation: key.includes('{') ? '' :
			history.last.help.get(name.replace(/_(total|info|count|sum)$/, '')) || history.last.help.get(name) || '',
		cells: {value: history.now(key), rate: isCounter ? history.rate(key) : NaN}};
	}).filter(row => `${row.name} ${row.explanation}`.toLowerCase().includes(wanted)), 'No figure has these words.');
}

const history = new History();

function windowSeconds() {
	return Number(document.querySelector('input[name=window]:checked').value);
}

function show() {
	if (!history.last)
		return;
	const seconds = windowSeconds();
	TILES.forEach(tile => tile.draw(history, seconds));
	showConcerns(history, seconds);
	showRefusals(history, seconds);
	showWorkers(history);
	showFigures(history);
	say(by('window-words'), history.isWatched(seconds) ? 'Last' : `Watched for ${age(history.watched(seconds))} of the last`);
	const build = history.keys('imserv_build_info{')[0] || '', count = history.keys('imserv_worker_sessions{').length;
	say(by('facts'), [location.host, labelOf(build, 'version'), labelOf(build, 'mode'), labelOf(build, 'io'),
		`${count} worker${count === 1 ? '' : 's'}`, `up ${age(history.last.t)}`].filter(Boolean).join(' · '));
}

// ---- the state, first of all ----

const COLOURS = {ready: '2e8b4f', starting: 'd08a00', draining: 'd08a00', gone: 'd03030', unserved: 'd03030'};

function enter(state, name, words) {
	const element = by('state');
	if (element.dataset.state !== state) {
		element.dataset.state = state;
		document.querySelector('link[rel=icon]').href = 'data:image/svg+xml,' + encodeURIComponent(
			`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6" fill="#${COLOURS[state]}"/></svg>`);
	}
	document.body.dataset.stale = state === 'gone' || state === 'unserved' ? 'yes' : 'no';
	say(by('state-name'), name);
	say(by('state-words'), words);
	document.title = `imserv ${location.host}: ${name.toLowerCase()}`;
}

let answeredAt = null;

function enterAnswered() {
	const sessions = history.now('imserv_sessions');
	answeredAt = new Date();
	if (history.now('imserv_draining') === 1)
		enter('draining', 'Draining', `New work is refused; ${whole(sessions)} session${sessions === 1 ? ' is' : 's are'} left.`);
	else if (history.now('imserv_ready') !== 1)
		enter('starting', 'Starting', 'Not ready for work yet.');
	else
		enter('ready', 'Ready', 'It takes new work.');
}

function enterUnanswered(status, why) {
	const since = answeredAt ? ` since ${answeredAt.toLocaleTimeString('en-GB')}` : '';
	if (status === 404)
		enter('unserved', 'No metrics here', 'This listener does not serve /metrics: its `serve` lacks metrics.');
	else
		enter('gone', status ? `Answers ${status}${since}` : `No answer${since}`,
			`${why ? why + '. ' : ''}${answeredAt ? 'What is below is from then. ' : ''}Asking again.`);
}

async function ask() {
	const patience = new AbortController(), timer = setTimeout(() => patience.abort(), PATIENCE_MS);
	let status = 0;
	try {
		const answer = await fetch('metrics', {cache: 'no-store', credentials: 'omit', signal: patience.signal});
		status = answer.status;
		if (!answer.ok)
			throw new Error('');
		history.add(parse(await answer.text()));
		enterAnswered();
		show();
	} catch (error) {
		enterUnanswered(status === 200 ? 0 : status, status === 200 && error.name !== 'AbortError' ? error.message : '');
	} finally {
		clearTimeout(timer);
	}
}

let waiting = null, asking = Promise.resolve();

async function watch() {
	clearTimeout(waiting);
	waiting = null;
	await (asking = asking.then(ask)); // one at a time: an answer that is overtaken would look like a restart
	clearTimeout(waiting);
	waiting = setTimeout(watch, document.hidden ? EVERY_MS_UNSEEN : EVERY_MS);
}

document.addEventListener('visibilitychange', () => {
	if (!document.hidden && waiting)
		watch();
});
by('window').addEventListener('change', show);
by('window').addEventListener('submit', event => event.preventDefault());
by('refusals-filter').addEventListener('input', show);
by('refusals-all').addEventListener('change', show);
by('figures-filter').addEventListener('input', show);
by('rest').addEventListener('toggle', show);
watch();
