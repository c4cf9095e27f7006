// The list of conversations: its box begins a new one.

import { Box } from "./box.js";

new Box(document.getElementById("box"), "councilos.said.new", ({ conversation_id: id }) => {
  location.assign(`/conversations/${id}/`);
});
