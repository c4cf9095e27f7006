// Fields of a form from a JSON schema: what each is called, what can be typed, what stands there
// when nothing is said. What we have no words for is named by its name.

/** The fields of an object's schema: `{name, type, label, hint, unsaid, options, fields}`. */
export function fields(schema, definitions = schema.$defs ?? {}) {
  return Object.entries(schema.properties ?? {}).map(([name, stated]) => field(name, stated, definitions));
}

function field(name, stated, definitions) {
  const shape = resolved(stated, definitions);
  const [label, hint] = WORDS[name] ?? [spaced(name), ""];
  const found = { name, label, hint, unsaid: stated.default ?? shape.default, ...typed(shape, definitions) };
  return { ...found, hint: [hint, range(shape)].filter(Boolean).join(" ") };
}

/** What it may be beside null. */
function resolved(stated, definitions) {
  const shape = stated.anyOf?.find(({ type }) => type !== "null") ?? stated;
  return shape.$ref ? definitions[shape.$ref.split("/").at(-1)] ?? {} : shape;
}

function typed(shape, definitions) {
  if (shape.enum) return { type: "choice", options: shape.enum };
  if (shape.type === "integer" || shape.type === "number") return { type: "number" };
  if (shape.type === "boolean") return { type: "yes" };
  if (shape.type === "string") return { type: shape.maxLength > 500 ? "text" : "line" };
  if (shape.type === "array" && shape.items?.enum) return { type: "ticks", options: shape.items.enum };
  if (shape.type === "array" && shape.items?.type === "string") return { type: "lines" };
  if (shape.type === "object" && shape.properties) return { type: "group", fields: fields(shape, definitions) };
  return { type: "json" };
}

function range({ minimum, maximum, exclusiveMinimum, type }) {
  const whole = type === "integer" ? "A whole number" : "A number";
  if (maximum > 1000) maximum = undefined;
  if (minimum !== undefined && maximum !== undefined) return `${minimum} to ${maximum}.`;
  if (minimum !== undefined) return `${whole} of at least ${minimum}.`;
  return exclusiveMinimum === undefined ? "" : `${whole} above ${exclusiveMinimum}.`;
}

function spaced(name) {
  const words = name.replace(/([a-z0-9])([A-Z])/g, (_, end, next) => `${end} ${next.toLowerCase()}`).replaceAll("_", " ");
  return words.slice(0, 1).toUpperCase() + words.slice(1);
}

const WORDS = {
  temperature: ["Temperature", "Low: the likely word; high: varied."],
  maxTokens: ["Longest answer", "In tokens."],
  retries: ["Tries more", "When a model fails."],
  timeLimit: ["Time limit", "In seconds, for one call."],
  fallbackModel: ["Model to fall back on", "When the first one fails."],
  gateBefore: ["A person decides before it", ""],
  gateAfter: ["A person decides after it", ""],
  outputSchema: ["Shape of the answer", "A JSON schema; nothing: free text."],
  threshold: ["Score to reach", ""],
  maxIterations: ["Rounds at most", ""],
  atLimit: ["After the last round", ""],
  minGain: ["Least gain", "Of score in a round; less ends it."],
  minChange: ["Least change", "Of the draft in a round; less ends it."],
  choices: ["Choices", "One in each line; nothing: free answers."],
  closed: ["Closed: nothing but the choices", ""],
  quorum: ["Quorum", "How many must have answered."],
  own: ["Its own answer", "The node whose answer it does not review."],
  ask: ["What is asked", ""],
  answerers: ["Who may answer", "One in each line: owner, user:name or group:name."],
  deadline: ["Deadline", "In seconds; nothing: it waits."],
  onDeadline: ["At the deadline", ""],
  actions: ["What they may do", ""],
  iterations: ["Rounds", ""],
  seconds: ["Seconds of work", ""],
  calls: ["Model calls", ""],
  tokens: ["Tokens", ""],
  cost: ["US dollars", ""],
};
