// A map in a file of its own: its data stands in the page, and nothing is asked for.

const data = JSON.parse(get("data").textContent);
const askUntilThere = async () => data;
const like = (id) => copy(get("map-words"), id);
