// One socket for all rooms that a page listens to. It reconnects by itself and misses no change of status.

export class JobsSocket extends EventTarget {
	#rooms = new Map(); // name -> last event id
	#known = new Set();
	#frames = [];
	#failures = 0;

	// {url, getTicket}
	constructor(options) {
		super();
		Object.assign(this, options);
		this.#connect();
	}

	join(room, { since } = {}) {
		if (this.#rooms.has(room)) return;
		this.#rooms.set(room, since);
		this.#send({ action: "join", room, since });
	}

	leave(room) {
		if (this.#rooms.delete(room)) this.#send({ action: "leave", room });
	}

	close() {
		this.closed = true;
		this.#lost(1000);
	}

	async #connect() {
		try {
			const ticket = await this.getTicket?.();
			if (this.closed) return;
			const socket = (this.socket = new WebSocket(this.url, ticket ? ["jobs.v1", `ticket.${ticket}`] : []));
			socket.onopen = () => this.#opened();
			socket.onmessage = ({ data }) => this.#heard(JSON.parse(data));
			socket.onclose = ({ code }) => this.#lost(code);
		} catch {
			this.#lost();
		}
	}

	#opened() {
		this.open = true;
		this.pinging = setInterval(() => this.#ping(), 15_000);
		for (const [room, since] of this.#rooms) this.#send({ action: "join", room, since });
		this.#tell("open");
	}

	// A dead connection does not close by itself. It is dead if nothing came between two pings.
	#ping() {
		if (this.isSilent) return this.#lost();
		this.isSilent = true;
		this.#send({ action: "ping" });
	}

	#lost(code = 1006) {
		const { socket } = this;
		if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
		socket?.close();
		clearInterval(this.pinging);
		clearTimeout(this.retry);
		this.#frames = [];
		this.socket = this.open = this.isSilent = null;
		this.closed ||= code === 4401;
		const pause = Math.min(500 * 2 ** this.#failures++, 30_000) * (0.5 + Math.random() / 2);
		if (!this.closed) this.retry = setTimeout(() => this.#connect(), pause);
		this.#tell("close", { code });
	}

	#send(frame) {
		if (this.open && this.#frames.push(JSON.stringify(frame)) === 1) flush(this.socket, this.#frames);
	}

	#heard(message) {
		const { event, room, id, cursor, reason } = message;
		const key = `${room} ${id}`;
		const isKnown = this.#known.has(key);
		this.#failures = 0;
		this.isSilent = false;
		if (id && (isKnown || !this.#rooms.has(room))) return;
		const [oldest] = this.#known.add(key);
		if (this.#known.size > 5000) this.#known.delete(oldest);
		const since = this.#rooms.get(room);
		// A replay comes after its cursor, and the connection may break before the replay ends.
		const seen = id ?? (since === undefined || message.resync ? cursor : 0);
		if (this.#rooms.has(room) && seen > (since ?? -1)) this.#rooms.set(room, seen);
		if (event === "error" || reason) this.#rooms.delete(room);
		this.#tell(event, message);
	}

	#tell(event, detail) {
		this.dispatchEvent(new CustomEvent(event, { detail }));
	}
}

// The server accepts 20 frames a second.
function flush(socket, frames) {
	if (!frames.length) return;
	socket.send(frames[0]);
	setTimeout(() => flush(socket, frames, frames.shift()), 60);
}
