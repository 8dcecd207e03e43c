// The emoji that the style encoder reads as styles (a test compares them with its own list).

export const EMOJI = {
  happy: '😀 😃 😄 😁 😆 🤣 😂 🙂 😊 ☺ 🥰 🤗 🤠 😺 😸 😹 🤓',
  excited: '🤩 🥳 😍 😻',
  surprised: '😮 😯 😲 😳 🫢 🙀',
  playful: '😉 😛 😜 🤪 😝 😋 🙃 🤡 😈 👻 🤭',
  calm: '😌 😇',
  thoughtful: '🤔 🧐',
  sad: '😔 🙁 ☹ 😢 😭 😥 😞 😓 😿 🥺',
  angry: '😤 😡 😠 🤬 👿 😾 👹',
  afraid: '😨 😰 😱 😧 😦 😟',
  disgusted: '🤢 🤮',
  contemptuous: '😏 😒 🙄 😼 🤨',
  confused: '😕 🫤 🥴',
  tired: '😪 😴 🫩 😩 😫',
  bored: '😑 🥱',
  neutral: '😐 😶 🤖 👽 🫡 🤐 🫥',
};
